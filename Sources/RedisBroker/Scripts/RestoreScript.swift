extension Script {
    /// Gives a log back what its store lost.
    ///
    /// An entry that continues the log gets its old position again, and no generation: so the next append begins a new
    /// epoch, as others may have been given positions that nobody gives back. A log that is gone is continued by anything.
    /// An entry that the log went on without, or that would leave a hole before it, gets a new position at the end, once: a
    /// note under its old one tells whoever gives it back later, and a copy that its sender has stored again meanwhile
    /// counts as well. What is missing for another reason (trimmed away) is left out.
    ///
    /// Publishes only the last entry of each kind: whoever lacks those before it sees the hole and reads the log.
    ///
    /// KEYS: log, retried. ARGV: channel, idle expiry in ms (0: never), retry window in ms, generation (nothing: not
    /// known), then for each entry: position, time, identity length (0: no identity), body.
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
        local function generationOf(entry)
          for f = 1, #entry[2], 2 do
            if entry[2][f] == 'g' then return entry[2][f + 1] end
          end
        end

        local last = head(log)
        local restored, lost, fork, beyond = nil, {}, nil, 0
        for i = 5, #ARGV, 4 do
          local position = ARGV[i]
          local isBeyond = isAfter(position, last)
          if isBeyond and #lost == 0 and continues(position, last) then
            redis.call('XADD', log, position, 'm', ARGV[i + 3], 't', ARGV[i + 1])
            restored = {last, i}
            last = position
          elseif #redis.call('XRANGE', log, position, position) == 0 then
            local following = redis.call('XRANGE', log, '(' .. position, '+', 'COUNT', 1)[1]
            local epoch = split(position)
            local nextEpoch, nextSeq = 0, 0
            if following then nextEpoch, nextSeq = split(following[1]) end
            if #lost > 0 or isBeyond or (nextEpoch > epoch and nextSeq == 1) then
              if not fork then
                local before = redis.call('XREVRANGE', log, '(' .. position, '-', 'COUNT', 1)[1]
                fork = before and before[1] or '0-0'
              end
              if isBeyond then beyond = math.max(beyond, epoch) end
              lost[#lost + 1] = i
            end
          end
        end

        local function publish(previous, position, at, body)
          redis.call('PUBLISH', ARGV[1], 'm ' .. previous .. ' ' .. position .. ' ' .. at .. ' 0 1\\n'
            .. #body .. ' \\n' .. body)
        end
        if restored then publish(restored[1], last, ARGV[restored[2] + 1], ARGV[restored[2] + 3]) end
        if #lost == 0 then
          if restored and ARGV[2] ~= '0' then redis.call('PEXPIRE', log, ARGV[2]) end
          return 0
        end

        -- What senders have stored again since the fork.
        local wanted, lengths = {}, {}
        for _, i in ipairs(lost) do
          local length = tonumber(ARGV[i + 2])
          if length > 0 then
            wanted[string.sub(ARGV[i + 3], 1, length)] = true
            lengths[length] = true
          end
        end
        local found, cursor = {}, '(' .. fork
        while next(wanted) do
          local entries = redis.call('XRANGE', log, cursor, '+', 'COUNT', 200)
          for _, entry in ipairs(entries) do
            for f = 1, #entry[2], 2 do
              if entry[2][f] == 'm' then
                for length in pairs(lengths) do
                  local identity = string.sub(entry[2][f + 1], 1, length)
                  if wanted[identity] then found[identity] = true end
                end
              end
            end
          end
          if #entries < 200 then break end
          cursor = '(' .. entries[#entries][1]
        end

        local appended
        for _, i in ipairs(lost) do
          local length = tonumber(ARGV[i + 2])
          local body, at = ARGV[i + 3], ARGV[i + 1]
          local note = '@' .. ARGV[i]
          local isKnown = length > 0 and found[string.sub(body, 1, length)]
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
