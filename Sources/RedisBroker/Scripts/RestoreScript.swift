extension Script {
    /// Gives a log back what its store lost.
    ///
    /// An entry that continues the log gets its old position again, and no generation: so the next append begins a new
    /// epoch, as others may have been given positions that nobody gives back. A log that is gone is continued by anything.
    /// An entry that the log went on without, or that would leave a hole before it, gets a new position at the end, once: a
    /// note under its old one tells whoever gives it back later, and a copy that its sender has stored again meanwhile
    /// counts as well. What is missing for another reason (trimmed away) is left out. A log that holds something else
    /// between the position that they were delivered after and the first of them went on without all of them; one that
    /// lacks this position, though it holds something older, takes nothing.
    ///
    /// The giver may have gone through a fork that this log knows nothing of, as it was lost meanwhile: then what it has
    /// in a newer epoch may stand here under older positions. It is not repeated, and the two have in common what stands
    /// before it.
    ///
    /// Publishes only the last entry of each kind: whoever lacks those before it sees the hole and reads the log.
    ///
    /// KEYS: log, retried. ARGV: channel, time to live in ms (0: for ever), retry window in ms, generation (nothing: not
    /// known), the position that they were delivered after (nothing: not known), then for each entry: position, time,
    /// identity length (0: no identity), body.
    /// Answers 0 when the log has them all at their positions, else the last position that it had in common with them.
    static let restoreSource = """
        \(headFunction)
        local log, retried = KEYS[1], KEYS[2]
        local generation = ARGV[4]
        local now = redis.call('TIME')
        local ms = now[1] * 1000 + math.floor(now[2] / 1000)
        local time = string.format('%.0f', ms)

        local function split(position)
          local epoch, seq = string.match(position, '^(%d+)-(%d+)$')
          return tonumber(epoch), tonumber(seq)
        end
        local function isAfter(left, right)
          local leftEpoch, leftSeq = split(left)
          local rightEpoch, rightSeq = split(right)
          return leftEpoch > rightEpoch or (leftEpoch == rightEpoch and leftSeq > rightSeq)
        end
        local function continues(position, last)
          if last == '0-0' then return true end
          local epoch, seq = split(position)
          local lastEpoch, lastSeq = split(last)
          return (epoch == lastEpoch and seq == lastSeq + 1) or (epoch > lastEpoch and seq == 1)
        end
        local function preceding(position)
          local before = redis.call('XREVRANGE', log, '(' .. position, '-', 'COUNT', 1)[1]
          return before and before[1] or '0-0'
        end
        local function identityOf(i)
          local length = tonumber(ARGV[i + 2])
          return length > 0 and string.sub(ARGV[i + 3], 1, length) or nil, length
        end
        -- Where the log holds what these entries say after a position: identity -> the first one's position.
        local function copiesOf(entries, after)
          local wanted, lengths, found = {}, {}, {}
          for _, i in ipairs(entries) do
            local identity, length = identityOf(i)
            if identity then wanted[identity], lengths[length] = true, true end
          end
          local cursor = '(' .. after
          while next(wanted) do
            local page = redis.call('XRANGE', log, cursor, '+', 'COUNT', 200)
            for _, entry in ipairs(page) do
              for f = 1, #entry[2], 2 do
                if entry[2][f] == 'm' then
                  for length in pairs(lengths) do
                    local identity = string.sub(entry[2][f + 1], 1, length)
                    if wanted[identity] and not found[identity] then found[identity] = entry[1] end
                  end
                end
              end
            end
            if #page < 200 then break end
            cursor = '(' .. page[#page][1]
          end
          return found
        end
        local function generationOf(entry)
          for f = 1, #entry[2], 2 do
            if entry[2][f] == 'g' then return entry[2][f + 1] end
          end
        end

        -- Where an entry that is not at its position stands in another epoch. Within one each message stands once.
        local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
        local older
        local function olderCopy(i)
          if not oldest or split(ARGV[i]) <= split(oldest[1]) then return nil end
          if not older then
            local rest = {}
            for j = i, #ARGV, 4 do rest[#rest + 1] = j end
            older = copiesOf(rest, '0-0')
          end
          local identity = identityOf(i)
          return identity and older[identity]
        end

        local last = head(log)
        local restored, lost, fork, beyond = nil, {}, nil, 0
        local previous = ARGV[5]
        if previous ~= '' then
          local nearest = redis.call('XREVRANGE', log, previous, '-', 'COUNT', 1)[1]
          if nearest and nearest[1] ~= previous then return nearest[1] end
          local newer = redis.call('XRANGE', log, '(' .. previous, '+', 'COUNT', 1)[1]
          if newer and isAfter(ARGV[6], newer[1]) then fork = previous end
        end
        local function give(i)
          local position = ARGV[i]
          local isBeyond = isAfter(position, last)
          if not isBeyond and #redis.call('XRANGE', log, position, position) > 0 then return end
          local copy = olderCopy(i)
          if isBeyond and not fork and not copy and continues(position, last) then
            redis.call('XADD', log, position, 'm', ARGV[i + 3], 't', ARGV[i + 1])
            restored = {last, i}
            last = position
            return
          end
          local following = redis.call('XRANGE', log, '(' .. position, '+', 'COUNT', 1)[1]
          local epoch = split(position)
          local nextEpoch, nextSeq = 0, 0
          if following then nextEpoch, nextSeq = split(following[1]) end
          if not fork and not isBeyond and not (nextEpoch > epoch and nextSeq == 1) then return end
          local common = preceding(copy and isAfter(position, copy) and copy or position)
          if not fork or isAfter(fork, common) then fork = common end
          if isBeyond then beyond = math.max(beyond, epoch) end
          lost[#lost + 1] = i
        end
        for i = 6, #ARGV, 4 do give(i) end

        local function publish(previous, position, at, body)
          redis.call('PUBLISH', ARGV[1], 'm ' .. previous .. ' ' .. position .. ' ' .. at .. ' 0 1\\n'
            .. #body .. ' \\n' .. body)
        end
        if restored then publish(restored[1], last, ARGV[restored[2] + 1], ARGV[restored[2] + 3]) end
        if not fork then
          if restored and ARGV[2] ~= '0' then redis.call('PEXPIRE', log, ARGV[2]) end
          return 0
        end

        -- What senders have stored again since the fork counts, too.
        local found = copiesOf(lost, fork)
        local appended
        for _, i in ipairs(lost) do
          local body, at = ARGV[i + 3], ARGV[i + 1]
          local note = '@' .. ARGV[i]
          local identity = identityOf(i)
          local isKnown = identity and found[identity]
          if not isKnown and redis.call('HEXISTS', retried, note) == 0 then
            local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
            local epoch, id = split(last), nil
            -- Not under a position that was given out, be it to what is given back here.
            if beyond >= epoch or (generation ~= '' and (not newest or generationOf(newest) ~= generation)) then
              id = string.format('%.0f', math.max(ms, epoch + 1, beyond + 1)) .. '-1'
            else
              id = string.format('%.0f', epoch) .. '-*'
            end
            local position = redis.call('XADD', log, id, 'm', body, 't', at, 'g', generation)
            redis.call('HSET', retried, note, position .. ' ' .. at)
            redis.call('PEXPIRE', retried, ARGV[3])
            appended = {last, position, at, body}
            last = position
          end
        end
        if appended then publish(appended[1], appended[2], appended[3], appended[4]) end
        if ARGV[2] ~= '0' then redis.call('PEXPIRE', log, ARGV[2]) end
        return fork
        """
}
