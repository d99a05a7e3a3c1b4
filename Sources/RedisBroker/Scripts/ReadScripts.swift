extension Script {
    /// Where a log ends, as a Lua function: also that of a stream whose entries are all gone.
    static let headFunction = """
        local function head(log)
          local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)
          if last[1] then return last[1][1] end
          if redis.call('EXISTS', log) == 0 then return '0-0' end
          local info = redis.call('XINFO', 'STREAM', log)
          for i = 1, #info, 2 do
            if info[i] == 'last-generated-id' then return info[i + 1] end
          end
          return '0-0'
        end
        """

    /// Reads entries, oldest first or latest first, leaving out the one at the position where reading begins.
    ///
    /// A page ends at `limit` messages or, with at least one message, at `bytes`; it is read in pieces, so that Redis
    /// never holds much more than a page.
    private static let pageFunction = """
        local function page(log, command, from, to, skipped, limit, bytes, answer)
          local taken, size, met = 0, 0, 0
          while true do
            local entries = redis.call(command, log, from, to, 'COUNT', 100)
            for _, entry in ipairs(entries) do
              if entry[1] == skipped then
                met = 1
              else
                local fields, body, time = entry[2], nil, nil
                for f = 1, #fields, 2 do
                  if fields[f] == 'm' then body = fields[f + 1] elseif fields[f] == 't' then time = fields[f + 1] end
                end
                size = size + #(body or '')
                if taken == limit or (taken > 0 and size > bytes) then return met, 1 end
                taken = taken + 1
                answer[#answer + 1] = entry[1]
                answer[#answer + 1] = time or ''
                answer[#answer + 1] = body or ''
              end
            end
            if #entries < 100 then return met, 0 end
            from = '(' .. entries[#entries][1]
          end
        end
        """

    /// KEYS: logs. ARGV: for each the position at which it should end, or nothing when that is not known. Answers, for
    /// those that do not, their numbers from 0 and last positions; no position where the key holds no log.
    ///
    /// Entries are not looked at, which would cost four times as much: a log that is there and has nothing newer is taken
    /// for unchanged.
    static let endsSource = """
        \(headFunction)
        local function ends(log, position)
          local later = redis.pcall('XRANGE', log, '(' .. position, '+', 'COUNT', 1)
          return not later.err and not later[1] and (position == '0-0' or redis.call('EXISTS', log) == 1)
        end
        local answer = {}
        for i, log in ipairs(KEYS) do
          if ARGV[i] == '' or not ends(log, ARGV[i]) then
            local isLog, position = pcall(head, log)
            answer[#answer + 1] = i - 1
            answer[#answer + 1] = isLog and position or ''
          end
        end
        return answer
        """

    /// KEYS: log. ARGV: position, limit, bytes. Answers `{head, ID of the greatest entry at or below the position or
    /// 0-0, whether there is more, then ID, time and body of each entry}`.
    static let readAfterSource = """
        \(headFunction)
        \(pageFunction)
        local log = KEYS[1]
        local answer = {head(log), ARGV[1], 0}
        local met
        met, answer[3] = page(log, 'XRANGE', ARGV[1], '+', ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), answer)
        if met == 0 then
          local floor = redis.call('XREVRANGE', log, ARGV[1], '-', 'COUNT', 1)
          answer[2] = floor[1] and floor[1][1] or '0-0'
        end
        return answer
        """

    /// KEYS: log. ARGV: position before which to read or `+`, limit, bytes. Answers like ``readAfterSource``, the
    /// latest entry first.
    static let readLatestSource = """
        \(headFunction)
        \(pageFunction)
        local log = KEYS[1]
        local answer = {head(log), '0-0', 0}
        local _
        _, answer[3] = page(log, 'XREVRANGE', ARGV[1], '-', ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), answer)
        return answer
        """
}
