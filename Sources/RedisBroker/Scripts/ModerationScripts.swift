extension Script {
    /// Writes an order down and publishes it. What nobody needs any more goes.
    ///
    /// `orders` holds for each subject `NUMBER TIME UNTIL LIFTED ISSUED_BEFORE\\nREASON`, and under `version` the number of
    /// the last one; `ends` holds the subjects by the time in ms at which they are forgotten.
    ///
    /// KEYS: orders, ends. ARGV: channel, subject, duration in ms, `1` if it lifts what was before, issued before, reason,
    /// then for an order that was lost: its number and its age in ms. Answers the number.
    static let giveOrderSource = """
        local orders, ends, subject = KEYS[1], KEYS[2], ARGV[2]
        local now = redis.call('TIME')
        local ms = now[1] * 1000 + math.floor(now[2] / 1000)
        local gone = redis.call('ZRANGE', ends, '-inf', string.format('%.0f', ms), 'BYSCORE', 'LIMIT', 0, 100)
        if #gone > 0 then
          redis.call('HDEL', orders, unpack(gone))
          redis.call('ZREM', ends, unpack(gone))
        end

        local before = tonumber(string.match(redis.call('HGET', orders, subject) or '0', '^%d+'))
        local last = math.max(tonumber(redis.call('HGET', orders, 'version') or 0), before)
        local number, time = math.max(now[1] * 1000000 + now[2], last + 1), ms
        local isLost = ARGV[7] ~= nil
        if isLost then
          if before >= tonumber(ARGV[7]) then return ARGV[7] end
          number, time = tonumber(ARGV[7]), ms - tonumber(ARGV[8])
        end
        local text = string.format('%.0f', number)
        local untilTime = string.format('%.0f', ms + tonumber(ARGV[3]))
        local value = text .. ' ' .. string.format('%.0f', time) .. ' ' .. untilTime .. ' ' .. ARGV[4] .. ' ' .. ARGV[5]
          .. '\\n' .. ARGV[6]
        redis.call('HSET', orders, subject, value, 'version', string.format('%.0f', math.max(number, last + 1)))
        redis.call('ZADD', ends, untilTime, subject)
        if not isLost then
          redis.call('PUBLISH', ARGV[1], 'o ' .. string.format('%.0f', ms) .. ' ' .. #subject .. '\\n' .. subject .. value)
        end
        return text
        """

    /// All orders.
    ///
    /// KEYS: orders. ARGV: the version that is known, or nothing. Answers nothing when it is still that, else
    /// `{version, now in ms, then subject, value for each}`.
    static let ordersSource = """
        local version = redis.call('HGET', KEYS[1], 'version') or '0'
        if version == ARGV[1] then return {} end
        local now = redis.call('TIME')
        local answer = {version, string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))}
        local all = redis.call('HGETALL', KEYS[1])
        for i = 1, #all, 2 do
          if all[i] ~= 'version' then
            answer[#answer + 1] = all[i]
            answer[#answer + 1] = all[i + 1]
          end
        end
        return answer
        """

    /// Changes a room's rules, and tells all of them.
    ///
    /// `rules` holds under `slow` (ms), `limit` and `rate` what holds for everybody, and `UNTIL REASON` for each ban (`b USER`)
    /// and mute (`m USER`).
    ///
    /// KEYS: rules. ARGV: for each change its field, a duration in ms (-1: for ever, 0: no more) and its text.
    /// Answers `{now in ms, then field, value for each}`.
    static let rulesSource = """
        local rules, now = KEYS[1], redis.call('TIME')
        local ms = now[1] * 1000 + math.floor(now[2] / 1000)
        for i = 1, #ARGV, 3 do
          local field, duration, text = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
          if duration == 0 then
            redis.call('HDEL', rules, field)
          elseif duration < 0 then
            redis.call('HSET', rules, field, text)
          else
            redis.call('HSET', rules, field, string.format('%.0f', ms + duration) .. ' ' .. text)
          end
        end
        local all, answer, last, stays = redis.call('HGETALL', rules), {string.format('%.0f', ms)}, 0, false
        for i = 1, #all, 2 do
          local untilTime = string.match(all[i], '^[bm] ') and tonumber(string.match(all[i + 1], '^%d+'))
          if untilTime and untilTime <= ms then
            redis.call('HDEL', rules, all[i])
          else
            answer[#answer + 1] = all[i]
            answer[#answer + 1] = all[i + 1]
            if untilTime then last = math.max(last, untilTime) else stays = true end
          end
        end
        if stays then
          redis.call('PERSIST', rules)
        elseif last > 0 then
          redis.call('PEXPIREAT', rules, string.format('%.0f', last))
        end
        return answer
        """

    /// Lua that judges messages by a room's rules. `pace` holds when each user posted last, in ms, as long as the slow mode
    /// needs it, and under `*`, which is no name, when a room that always posts at its limit would have come so far: ahead of
    /// now by two seconds at most (the generic cell rate algorithm).
    ///
    /// The function says why a message is forbidden (`banned`, `muted`, `slow`, `busy`) and for how many ms, or nothing.
    static let postRules = """
        local function judging(rules, pace, ms, rate)
          local settings = redis.call('HMGET', rules, 'slow', 'rate')
          local slow = tonumber(settings[1] or 0)
          rate = tonumber(settings[2] or rate)
          local sentences = {}
          return function(body)
            -- A body begins with type and room: the first field of this name is the sender's.
            local user = string.match(body, '"user":"([^"]+)"') or ''
            local sentence = sentences[user]
            if not sentence then
              sentence = {}
              local found = redis.call('HMGET', rules, 'b ' .. user, 'm ' .. user)
              for n, why in ipairs({'banned', 'muted'}) do
                local untilTime = found[n] and tonumber(string.match(found[n], '^%d+'))
                if not sentence[1] and untilTime and untilTime > ms then sentence = {why, untilTime - ms} end
              end
              sentences[user] = sentence
            end
            if sentence[1] then return sentence[1], string.format('%.0f', sentence[2]) end
            if slow > 0 then
              local last = tonumber(redis.call('ZSCORE', pace, user) or 0)
              if last <= ms and ms - last < slow then return 'slow', string.format('%.0f', slow - (ms - last)) end
            end
            if rate > 0 then
              local interval, reached = 1000 / rate, math.max(ms, tonumber(redis.call('ZSCORE', pace, '*') or 0))
              local wait = reached - ms + interval - math.max(2000, interval)
              if wait > 0 then return 'busy', string.format('%.0f', math.ceil(wait)) end
              redis.call('ZADD', pace, string.format('%.3f', reached + interval), '*')
            end
            if slow > 0 then
              redis.call('ZREMRANGEBYSCORE', pace, '-inf', string.format('%.0f', ms - slow))
              redis.call('ZADD', pace, string.format('%.0f', ms), user)
            end
            if slow > 0 or rate > 0 then redis.call('PEXPIRE', pace, string.format('%.0f', math.max(slow, 4000))) end
          end
        end
        """

    /// The nodes that live: those that are not declared dead and whose lease has not run out.
    ///
    /// KEYS: nodes. ARGV: lease in ms. Answers their incarnations.
    static let livingSource = """
        local now = redis.call('TIME')
        local oldest = now[1] * 1000 + math.floor(now[2] / 1000) - tonumber(ARGV[1])
        return redis.call('ZRANGE', KEYS[1], string.format('%.0f', oldest), '+inf', 'BYSCORE')
        """
}
