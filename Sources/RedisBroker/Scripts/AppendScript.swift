extension Script {
    /// Stores and publishes a group of messages of one room.
    ///
    /// KEYS: log, retried, rules, pace. ARGV: channel, known position, when sent and how many messages in two words, the
    /// store's generation (nothing: not known), the position after the known one if the log's end need not be looked at (else
    /// nothing), what is mostly not looked at, then for each message: the line before it in the publication, body.
    ///
    /// What is mostly not looked at stands in one argument, as each costs more than all words in it. They are: log length
    /// (0: any), time to live in ms (0: for ever), retry window in ms, `1` if the caller is settled in the generation, how many
    /// messages a second the room may have if it has no rule of its own (0: any), then the identity length of each message
    /// (`-` before it: a retry; 0: no identity; nothing at all: none has one).
    ///
    /// Answers `{first position stored or 0-0, time, then for each duplicate: its number from 0, position, time, and for
    /// each that the room's rules forbid (``postRules``): its number, why, the wait in ms}`. What is neither was stored in
    /// order, each one SEQ after the other. Answers 0, and has done nothing, when a new epoch would have to begin and the
    /// caller is not settled.
    ///
    /// An entry's field `g` is the generation that it was appended in. It is the last one's that counts: a log whose last
    /// entry is of another generation may have lost what came after it.
    ///
    /// Who has stored in a log before, in the generation in which it is settled and in the known epoch, need not look at its
    /// end: while the epoch is the same nobody has begun a new one, and where the first of the messages comes to stand tells
    /// whether there is more to find out, as others have stored, or the log went back. A command within a script costs Redis
    /// about a microsecond, and so do each function that it makes and each number that it turns into text.
    static let appendSource = """
        local log, retried, rules = KEYS[1], KEYS[2], KEYS[3]
        local channel, generation = ARGV[1], ARGV[4]
        local now = redis.call('TIME')
        local time = now[1] .. string.sub('00000' .. now[2], -6, -4)
        local first = 7
        -- Most rooms have neither retries nor rules: one question for both.
        local extras = redis.call('EXISTS', retried, rules)

        if ARGV[5] ~= '' and extras == 0 then
          local epoch = string.match(ARGV[2], '^%d+')
          local id = epoch .. '-*'
          local start = redis.pcall('XADD', log, 'NOMKSTREAM', id, 'm', ARGV[first + 1], 't', time, 'g', generation)
          local previous = start == ARGV[5] and ARGV[2]
          -- What is no text is an error: the log is gone, or in a newer epoch, or has no room. As for everybody.
          if not previous and type(start) == 'string' then
            -- Others have stored meanwhile, in this generation, or given back what was lost, or the log went back.
            local before = tonumber(string.match(start, '%d+$')) - 1
            local last, isOurs = redis.call('XREVRANGE', log, '(' .. start, '-', 'COUNT', 1)[1], generation == ''
            local fields = last and last[2] or {}
            for f = 1, #fields, 2 do
              if fields[f] == 'g' then isOurs = isOurs or fields[f + 1] == generation end
            end
            if isOurs and before >= tonumber(string.match(ARGV[2], '%d+$')) then
              previous = epoch .. '-' .. string.format('%.0f', before)
              local logLength = string.match(ARGV[6], '^%d+')
              if logLength ~= '0' and before % 100 + (#ARGV - first + 1) / 2 >= 100 then
                redis.call('XTRIM', log, 'MAXLEN', '~', logLength)
              end
            else
              -- It goes on in a new epoch.
              redis.call('XDEL', log, start)
            end
          end
          if previous then
            for i = first + 2, #ARGV, 2 do redis.call('XADD', log, id, 'm', ARGV[i + 1], 't', time, 'g', generation) end
            -- The rest of the publication stands in ARGV as it is; its first line takes the place of what is over.
            ARGV[first - 1] = 'm ' .. previous .. ' ' .. start .. ' ' .. time .. ' ' .. ARGV[3] .. '\\n'
            redis.call('PUBLISH', channel, table.concat(ARGV, '', first - 1))
            return {start, time}
          end
        end

        \(postRules)
        local settings = {}
        for word in string.gmatch(ARGV[6], '%S+') do settings[#settings + 1] = word end
        local logLength, timeToLive, retryWindow = settings[1], settings[2], settings[3]
        local isSettled, rate = settings[4] == '1', tonumber(settings[5])
        local ms = tonumber(time)
        local knownEpoch, knownSeq = string.match(ARGV[2], '^(%d+)-(%d+)$')
        knownEpoch, knownSeq = tonumber(knownEpoch), tonumber(knownSeq)

        -- The head. An ID must be greater than any that the stream ever had, also when its last entry was trimmed.
        local head = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)
        local previous, writtenIn, written = '0-0', nil, nil
        if head[1] then
          previous = head[1][1]
          local fields = head[1][2]
          for f = 1, #fields, 2 do
            if fields[f] == 'g' then writtenIn = fields[f + 1] elseif fields[f] == 't' then written = fields[f + 1] end
          end
        elseif redis.call('EXISTS', log) == 1 then
          local info = redis.call('XINFO', 'STREAM', log)
          for i = 1, #info, 2 do
            if info[i] == 'last-generated-id' then previous = info[i + 1] end
          end
        end

        -- The epoch: the log's own, unless the log is new, ends before what the caller knows (then it went back), or was
        -- last written in another generation (then it may have).
        local epoch, seq = string.match(previous, '^(%d+)-(%d+)$')
        local headEpoch, headSeq = tonumber(epoch), tonumber(seq)
        local begins = previous == '0-0' or headEpoch < knownEpoch
          or (headEpoch == knownEpoch and headSeq < knownSeq)
          or (generation ~= '' and writtenIn ~= generation)
        local isNewEpoch = begins
        if begins then
          if not isSettled then return 0 end
          epoch = string.format('%.0f', math.max(ms, knownEpoch + 1, headEpoch + 1))
        end

        -- What retries repeat. They pay for looking; others only while somebody has retried in the last minutes.
        local found = {}    -- identity -> 'POSITION TIME' of the copy that is to be acknowledged
        local stored = {}   -- the same for what this call stores
        local wanted, lengths, missing = {}, {}, 0
        local noted = extras == 2 or (extras == 1 and redis.call('EXISTS', retried) == 1)
        local judge = (extras == 2 or (extras == 1 and not noted) or rate > 0)
          and judging(rules, KEYS[4], ms, rate)
        local identityLengths = {}
        for n = 6, #settings do identityLengths[n - 5] = tonumber(settings[n]) end
        for n, length in ipairs(identityLengths) do
          if length < 0 or (noted and length > 0) then
            local identity = string.sub(ARGV[first + 2 * n - 1], 1, math.abs(length))
            local note = noted and redis.call('HGET', retried, identity)
            if note then
              found[identity] = note
            elseif length < 0 and not wanted[identity] then
              wanted[identity] = true
              lengths[-length] = true
              missing = missing + 1
            end
          end
        end
        -- One walk back through the log for all of them, in pieces: most are near the end.
        local cursor = '+'
        while missing > 0 do
          local entries = redis.call('XREVRANGE', log, cursor, '-', 'COUNT', 200)
          for _, entry in ipairs(entries) do
            local fields = entry[2]
            local body, at
            for f = 1, #fields, 2 do
              if fields[f] == 'm' then body = fields[f + 1] elseif fields[f] == 't' then at = fields[f + 1] end
            end
            if body and at then
              for length in pairs(lengths) do
                local identity = string.sub(body, 1, length)
                if wanted[identity] and not found[identity] then
                  found[identity] = entry[1] .. ' ' .. at
                  missing = missing - 1
                end
              end
            end
            if missing == 0 then break end
          end
          if #entries < 200 then break end
          cursor = '(' .. entries[#entries][1]
        end

        local answer = {'0-0', time}
        -- The pieces of the publication, joined once. Its first line is not known yet.
        local events, pieces = {''}, 1
        local count, start, noting = 0, nil, false
        for i = first, #ARGV, 2 do
          local number, body = (i - first) / 2, ARGV[i + 1]
          local length = identityLengths[number + 1] or 0
          local identity = length ~= 0 and string.sub(body, 1, math.abs(length))
          local copy = identity and (found[identity] or (length < 0 and stored[identity]))
          local why, wait
          if judge and not copy then why, wait = judge(body) end
          if copy then
            local position, at = string.match(copy, '^(%S+) (%S+)$')
            answer[#answer + 1] = number
            answer[#answer + 1] = position
            answer[#answer + 1] = at
          elseif why then
            answer[#answer + 1] = number
            answer[#answer + 1] = why
            answer[#answer + 1] = wait
          else
            local position
            if begins then
              position = redis.call('XADD', log, epoch .. '-1', 'm', body, 't', time, 'g', generation)
              begins = false
            else
              position = redis.call('XADD', log, epoch .. '-*', 'm', body, 't', time, 'g', generation)
            end
            start = start or position
            count = count + 1
            events[pieces + 1], events[pieces + 2] = ARGV[i], body
            pieces = pieces + 2
            if identity then
              stored[identity] = position .. ' ' .. time
              if length < 0 then
                -- The original may still be on its way: for some minutes it counts as the copy.
                found[identity] = stored[identity]
                redis.call('HSET', retried, identity, stored[identity])
                redis.call('PEXPIRE', retried, retryWindow)
                noting = true
              end
            end
          end
        end

        if noting then
          -- While retries keep coming the notes do not expire: some that have outlived the window go each time.
          local notes, stale = redis.call('HRANDFIELD', retried, 10, 'WITHVALUES'), {}
          for i = 1, #notes, 2 do
            local at = tonumber(string.match(notes[i + 1], ' (%d+)$') or 0)
            if ms - at > tonumber(retryWindow) then stale[#stale + 1] = notes[i] end
          end
          if #stale > 0 then redis.call('HDEL', retried, unpack(stale)) end
        end
        if count > 0 then
          answer[1] = start
          -- A stream drops its oldest entries a hundred at a time, so it is told to as rarely.
          if logLength ~= '0' and (isNewEpoch or math.floor(headSeq / 100) ~= math.floor((headSeq + count) / 100)) then
            redis.call('XTRIM', log, 'MAXLEN', '~', logLength)
          end
          -- A seventeenth of its life is what a log lives longer than promised: once in each its end is postponed.
          local step = tonumber(timeToLive) / 17
          if step > 0 and (isNewEpoch or not written or math.floor(written / step) ~= math.floor(ms / step)) then
            redis.call('PEXPIRE', log, timeToLive)
          end
          local sentAt = string.match(ARGV[3], '^%d+')
          events[1] = 'm ' .. previous .. ' ' .. start .. ' ' .. time .. ' ' .. sentAt .. ' ' .. count .. '\\n'
          redis.call('PUBLISH', channel, table.concat(events))
        end
        return answer
        """
}
