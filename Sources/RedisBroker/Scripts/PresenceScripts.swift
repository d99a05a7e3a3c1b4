extension Script {
    /// Lua that changes who is in a room. `sessions` holds for each session `USER INCARNATION`, and under `revision` that
    /// of the last change; `users` holds for each user the number of sessions.
    ///
    /// Each change has a revision of its own: microseconds since 1970, or one more than the change before it. So who has
    /// a roster knows which changes it contains. A user's coming and going is published while the room is no crowd; for
    /// what happens in a crowd one count is published at the end of the call.
    private static let roomFunctions = """
        local function open(sessions, users, channel, crowd)
          local room = {sessions = sessions, users = users, channel = channel, crowd = tonumber(crowd)}
          local now = redis.call('TIME')
          room.now = now[1] * 1000000 + now[2]
          room.revision = tonumber(redis.call('HGET', sessions, 'revision') or 0)
          return room
        end

        local function date(room)
          room.revision = math.max(room.now, room.revision + 1)
          room.isChanged = true
          return string.format('%.0f', room.revision)
        end

        local function changed(room, sign, session, user)
          local count, dated = redis.call('HLEN', room.users), date(room)
          room.untold = count > room.crowd and count or nil
          if not room.untold then
            redis.call('PUBLISH', room.channel,
              'p ' .. sign .. ' ' .. count .. ' ' .. dated .. ' ' .. session .. ' ' .. user)
          end
        end

        local function forget(room, session, value)
          if redis.call('HDEL', room.sessions, session) == 0 then return end
          local user = string.match(value, '^(%S+) ')
          if user and redis.call('HINCRBY', room.users, user, -1) <= 0 then
            redis.call('HDEL', room.users, user)
            changed(room, '-', '-', user)
          end
        end

        local function close(room)
          local dated = string.format('%.0f', room.revision)
          if room.untold then redis.call('PUBLISH', room.channel, 'p = ' .. room.untold .. ' ' .. dated) end
          if not room.isChanged then return end
          if redis.call('EXISTS', room.users) == 1 then
            redis.call('HSET', room.sessions, 'revision', dated)
          else
            redis.call('DEL', room.sessions)
          end
        end

        -- That of the last change; of a room where nobody is, that of now.
        local function current(room)
          return string.format('%.0f', room.revision > 0 and room.revision or room.now)
        end
        """

    /// Counts sessions into a room. Idempotent: only a user's first session is announced.
    ///
    /// KEYS: sessions, users, rules. ARGV: channel, how many users make a crowd when exceeded, node incarnation, how many
    /// members to answer, how many sessions each user may have here (0: any), then for each session: its name, its
    /// user.
    /// Answers `{number of users, revision, refusals, then users}`: all, or as many as wanted and any of them. A refusal
    /// is a session's number from 0 and why it is not in the room: `banned`, `full` for a user who has no place yet, or
    /// `seated` for a session too many.
    static let enterSource = """
        \(roomFunctions)
        local room = open(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
        local limit, seats, refusals = tonumber(ARGV[4]), tonumber(ARGV[5]), {}
        local ruled = redis.call('EXISTS', KEYS[3]) == 1
        local places = ruled and tonumber(redis.call('HGET', KEYS[3], 'limit') or 0) or 0

        local function refusal(user, before)
          local ban = redis.call('HGET', KEYS[3], 'b ' .. user)
          if ban and tonumber(string.match(ban, '^%d+')) > room.now / 1000 then return 'banned' end
          if places > 0 and not before and redis.call('HEXISTS', room.users, user) == 0
            and redis.call('HLEN', room.users) >= places then return 'full' end
        end

        for i = 6, #ARGV, 2 do
          local session, user = ARGV[i], ARGV[i + 1]
          local value = user .. ' ' .. ARGV[3]
          local before = redis.call('HGET', room.sessions, session)
          local why = ruled and refusal(user, before)
          if not why and seats > 0 and not before
            and tonumber(redis.call('HGET', room.users, user) or 0) >= seats then why = 'seated' end
          if why then
            if before then forget(room, session, before) end
            refusals[#refusals + 1] = (i - 6) / 2
            refusals[#refusals + 1] = why
          else
            if before ~= value then redis.call('HSET', room.sessions, session, value) end
            if not before and redis.call('HINCRBY', room.users, user, 1) == 1 then
              changed(room, '+', session, user)
            end
          end
        end
        close(room)

        local count = redis.call('HLEN', room.users)
        local answer = {count, current(room), refusals}
        if limit == 0 then return answer end
        if count <= limit then
          for _, name in ipairs(redis.call('HKEYS', room.users)) do answer[#answer + 1] = name end
          return answer
        end
        -- Of a crowd any will do, found without walking through all of it.
        local cursor, seen = '0', {}
        repeat
          local page = redis.call('HSCAN', room.users, cursor, 'COUNT', limit)
          cursor = page[1]
          for i = 1, #page[2], 2 do
            if #answer > limit + 2 then return answer end
            if not seen[page[2][i]] then
              seen[page[2][i]] = true
              answer[#answer + 1] = page[2][i]
            end
          end
        until cursor == '0'
        return answer
        """

    /// The users of a room, and whether they could be changed now: a Redis that lost something and takes no writes
    /// (`NOREPLICAS`, `READONLY`, `MISCONF`) cannot have got it back yet. Only a command that would write can tell; this one
    /// has nothing to delete, so nothing is written.
    ///
    /// KEYS: sessions, users. ARGV: above how many users only their number is wanted (-1: never).
    /// Answers `{number of users, revision, 1 or 0: takes writes or not, then users}`.
    static let membersSource = """
        \(roomFunctions)
        local room = open(KEYS[1], KEYS[2], '', 0)
        local limit, count = tonumber(ARGV[1]), redis.call('HLEN', room.users)
        local isWritable = type(redis.pcall('HDEL', room.users, '')) == 'number' and 1 or 0
        if limit >= 0 and count > limit then return {count, current(room), isWritable} end
        return {count, current(room), isWritable, redis.call('HKEYS', room.users)}
        """

    /// Counts sessions out of a room. Idempotent: who is not there is not announced.
    ///
    /// KEYS: sessions, users. ARGV: channel, how many users make a crowd when exceeded, then sessions. Answers how many
    /// were there.
    static let leaveSource = """
        \(roomFunctions)
        local room = open(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
        local removed = 0
        for i = 3, #ARGV do
          local value = redis.call('HGET', room.sessions, ARGV[i])
          if value then
            forget(room, ARGV[i], value)
            removed = removed + 1
          end
        end
        close(room)
        return removed
        """

    /// Counts a dead node's sessions out of a room, about 500 in a call. Any number of nodes may do it at a time.
    ///
    /// KEYS: sessions, users. ARGV: channel, how many users make a crowd when exceeded, node incarnation, cursor (`0` at
    /// first). Answers `{next cursor (0: done), how many were removed}`.
    static let sweepSource = """
        \(roomFunctions)
        local page = redis.call('HSCAN', KEYS[1], ARGV[4], 'COUNT', 500)
        local room = open(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
        local removed = 0
        for i = 1, #page[2], 2 do
          local session, value = page[2][i], page[2][i + 1]
          if string.match(value, ' (%S+)$') == ARGV[3] then
            forget(room, session, value)
            removed = removed + 1
          end
        end
        close(room)
        return {page[1], removed}
        """

    /// Says that a node lives, and learns which ones are dead.
    ///
    /// A dead node's entry stays, with 0 for a time, until its sessions are swept: so a node that comes back late learns
    /// that it was declared dead, and cannot slip in between. Only who has held a lease without interruption
    /// may judge others: after an outage of Redis all leases are old, and nobody is to blame. An interruption is half a
    /// lease already: after a Redis that held still its first caller's is younger than the others', whose calls wait behind
    /// this one. And a call that waited while a later one overtook it on another connection knows an older time than the
    /// entry has.
    ///
    /// KEYS: nodes. ARGV: node incarnation, lease in ms, `new` to register or `renew`, the time that this node was answered
    /// last if it may judge, else 0.
    /// Answers `{0: declared dead or forgotten, 1: lives, but was late, 2: lives; the time in ms; then the dead}`.
    static let heartbeatSource = """
        local nodes, me = KEYS[1], ARGV[1]
        local now = redis.call('TIME')
        local ms = now[1] * 1000 + math.floor(now[2] / 1000)
        local oldest = ms - tonumber(ARGV[2])
        local score = redis.call('ZSCORE', nodes, me)
        local before = tonumber(score or -1)
        if before == 0 or (not score and ARGV[3] ~= 'new') then return {0} end
        redis.call('ZADD', nodes, string.format('%.0f', ms), me)
        if before < ms - tonumber(ARGV[2]) / 2 then return {1, ms} end
        if before == tonumber(ARGV[4]) then
          local late = redis.call('ZRANGE', nodes, '(0', '(' .. string.format('%.0f', oldest), 'BYSCORE')
          for _, node in ipairs(late) do redis.call('ZADD', nodes, 0, node) end
        end
        local answer = {2, ms}
        for _, node in ipairs(redis.call('ZRANGE', nodes, 0, 0, 'BYSCORE', 'LIMIT', 0, 100)) do
          answer[#answer + 1] = node
        end
        return answer
        """
}
