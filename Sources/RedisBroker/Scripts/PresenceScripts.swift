extension Script {
    /// Lua that dates a change of presence or a list of members: microseconds since 1970, so that who has the list knows
    /// which changes it contains.
    private static let revisionFunction = """
        local function revision()
          local now = redis.call('TIME')
          return string.format('%.0f', now[1] * 1000000 + now[2])
        end
        """

    /// Counts a session into a room. Idempotent: only a user's first session is announced.
    ///
    /// KEYS: sessions, users. ARGV: channel, session, user, node incarnation, how many members to answer.
    /// Answers `{number of users, revision, then users}`.
    static let enterSource = """
        \(revisionFunction)
        local sessions, users = KEYS[1], KEYS[2]
        local channel, session, user = ARGV[1], ARGV[2], ARGV[3]
        local value = user .. ' ' .. ARGV[4]
        local dated = revision()
        local before = redis.call('HGET', sessions, session)
        if before ~= value then
          redis.call('HSET', sessions, session, value)
        end
        if not before and redis.call('HINCRBY', users, user, 1) == 1 then
          redis.call('PUBLISH', channel, 'p + ' .. redis.call('HLEN', users) .. ' ' .. dated .. ' ' .. session .. ' ' .. user)
        end

        local limit = tonumber(ARGV[5])
        local count = redis.call('HLEN', users)
        local answer = {count, dated}
        if limit == 0 then return answer end
        if count <= limit then
          for _, name in ipairs(redis.call('HKEYS', users)) do answer[#answer + 1] = name end
          return answer
        end
        -- Of a crowd any will do, found without walking through all of it; the one who came is among them.
        answer[3] = user
        local cursor = '0'
        repeat
          local page = redis.call('HSCAN', users, cursor, 'COUNT', limit)
          cursor = page[1]
          for i = 1, #page[2], 2 do
            if #answer > limit + 1 then return answer end
            if page[2][i] ~= user then answer[#answer + 1] = page[2][i] end
          end
        until cursor == '0'
        return answer
        """

    /// Lua that takes one session of a user out of the counts, and announces the last.
    private static let forgetFunction = """
        \(revisionFunction)
        local function forget(sessions, users, channel, session, value)
          redis.call('HDEL', sessions, session)
          local user = string.match(value, '^(%S+) ')
          if user and redis.call('HINCRBY', users, user, -1) <= 0 then
            redis.call('HDEL', users, user)
            redis.call('PUBLISH', channel, 'p - ' .. redis.call('HLEN', users) .. ' ' .. revision() .. ' - ' .. user)
          end
        end
        """

    /// All users of a room.
    ///
    /// KEYS: users. Answers `{revision, users}`.
    static let membersSource = """
        \(revisionFunction)
        return {revision(), redis.call('HKEYS', KEYS[1])}
        """

    /// Counts a session out of a room. Idempotent: who is not there is not announced.
    ///
    /// KEYS: sessions, users. ARGV: channel, session.
    static let leaveSource = """
        \(forgetFunction)
        local value = redis.call('HGET', KEYS[1], ARGV[2])
        if not value then return 0 end
        forget(KEYS[1], KEYS[2], ARGV[1], ARGV[2], value)
        return 1
        """

    /// Counts a dead node's sessions out of a room, about 500 in a call. Any number of nodes may do it at a time.
    ///
    /// KEYS: sessions, users. ARGV: channel, node incarnation, cursor (`0` at first). Answers `{next cursor (0: done),
    /// how many were removed}`.
    static let sweepSource = """
        \(forgetFunction)
        local page = redis.call('HSCAN', KEYS[1], ARGV[3], 'COUNT', 500)
        local removed = 0
        for i = 1, #page[2], 2 do
          local session, value = page[2][i], page[2][i + 1]
          if string.match(value, ' (%S+)$') == ARGV[2] then
            forget(KEYS[1], KEYS[2], ARGV[1], session, value)
            removed = removed + 1
          end
        end
        return {page[1], removed}
        """

    /// Says that a node lives, and learns which ones are dead.
    ///
    /// A dead node's entry stays, with 0 for a time, until its sessions are swept: so a node that comes back late learns
    /// that it was declared dead, and cannot slip in between. Only who has held a lease without interruption
    /// may judge others: after an outage of Redis all leases are old, and nobody is to blame.
    ///
    /// KEYS: nodes. ARGV: node incarnation, lease in ms, `new` to register or `renew`, `1` if this node may judge.
    /// Answers `{0: declared dead or forgotten, 1: lives with a lease that had run out, 2: lives, then the dead}`.
    static let heartbeatSource = """
        local nodes, me = KEYS[1], ARGV[1]
        local now = redis.call('TIME')
        local ms = now[1] * 1000 + math.floor(now[2] / 1000)
        local oldest = ms - tonumber(ARGV[2])
        local score = redis.call('ZSCORE', nodes, me)
        local before = tonumber(score or -1)
        if before == 0 or (not score and ARGV[3] ~= 'new') then return {0} end
        redis.call('ZADD', nodes, string.format('%.0f', ms), me)
        if before < oldest then return {1} end
        if ARGV[4] == '1' then
          local late = redis.call('ZRANGE', nodes, '(0', '(' .. string.format('%.0f', oldest), 'BYSCORE')
          for _, node in ipairs(late) do redis.call('ZADD', nodes, 0, node) end
        end
        local answer = {2}
        for _, node in ipairs(redis.call('ZRANGE', nodes, 0, 0, 'BYSCORE', 'LIMIT', 0, 100)) do
          answer[#answer + 1] = node
        end
        return answer
        """
}
