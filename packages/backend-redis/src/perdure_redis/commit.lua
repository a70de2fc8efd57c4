-- Apply the groups whose expectations hold, and return the conflicts of the others, once for each number of a writer.
-- KEYS: the writer's last number and outcome; feed, prefixes and numbers of each collection; the places.
-- ARGV: the plan (MessagePack), then the values.
local number, expiry, cuts, places, groups = unpack(cmsgpack.unpack(ARGV[1]))
local stamp = string.format('%.0f', number)

local said = call('GET', KEYS[1])
if said then
  local last = string.match(said, '^%d+')
  if last == stamp then -- written again, so that WAIT has something to wait for
    call('SET', KEYS[1], said, 'EX', expiry)
    return string.sub(said, #stamp + 2)
  end
  if less(stamp, last) then return redis.error_reply('PERDURELATE a later commit of this writer was applied') end
end

-- All reads come before the first write: a key of a wrong type is found while nothing has changed yet.
local base = 1 + 3 * #cuts
local heads, numbers, versions, present, latest = {}, {}, {}, {}, {}
for place = 1, #places do
  local key = KEYS[base + place]
  if places[place] > 0 then
    local id = call('LINDEX', key, 0)
    numbers[place] = id
    heads[place] = id and call('LINDEX', key, -3) or '0'
  else
    local version, mark = string.match(call('GETRANGE', key, 0, 20), '^(%d+)([+-])')
    heads[place], present[place] = version or '0', mark == '+'
  end
end

-- A position is the time in microseconds since 2024, or more: after a failover that lost the newest, none is used again.
local time = call('TIME')
local clock = (time[1] - 1704067200) * 1000000 + time[2]
for collection = 1, #cuts do
  local info = redis.pcall('XINFO', 'STREAM', KEYS[3 * collection - 1])
  local last = 0
  if not info.err then
    for field = 1, #info, 2 do
      if info[field] == 'last-generated-id' then last = tonumber(string.match(info[field + 1], '^%d+')) end
    end
  elseif not string.find(info.err, 'no such key', 1, true) then
    return info
  end
  latest[collection] = math.max(last, clock)
end

local dirty = false
local function write(...)
  local reply = call(...)
  dirty = true
  return reply
end

local function push(log, items)
  for first = 1, #items, 3000 do
    write('RPUSH', log, unpack(items, first, math.min(first + 2999, #items)))
  end
end

-- Cut off the entries from the first on, without those before the second, and return the rest.
local function cut(log, first, second)
  local rest = call('LRANGE', log, 3 * second + 1, -1)
  write('LTRIM', log, 0, 3 * first)
  return rest
end

local function forget(feed, log, first, second)
  while first < second do
    local ids = {}
    if second - first <= 8 then
      for entry = first, second - 1 do ids[#ids + 1] = call('LINDEX', log, 3 * entry + 2) end
    else
      local some = call('LRANGE', log, 3 * first + 1, 3 * math.min(first + 256, second))
      for item = 2, #some, 3 do ids[#ids + 1] = some[item] end
    end
    write('XDEL', feed, unpack(ids))
    first = first + #ids
  end
end

local function put(place, key, value)
  local log, collection = KEYS[base + place], places[place]
  local feed = KEYS[3 * collection - 1]
  local position = latest[collection] + 1
  latest[collection] = position
  local id = numbers[place]
  if not id then
    local prefix = string.sub(log, cuts[collection] + 1)
    id = string.format('%.0f', write('HINCRBY', KEYS[3 * collection + 1], '', 1))
    write('HSET', KEYS[3 * collection + 1], id, prefix)
    write('ZADD', KEYS[3 * collection], 0, prefix)
    write('RPUSH', log, id, key, position, value)
    numbers[place], heads[place] = id, key
  elseif less(heads[place], key) then
    write('RPUSH', log, key, position, value)
    heads[place] = key
  else
    local entry, found = find(log, key)
    if found then
      forget(feed, log, entry, entry + 1)
      write('LSET', log, 3 * entry + 2, position)
      write('LSET', log, 3 * entry + 3, value)
    else
      local rest = cut(log, entry, entry)
      write('RPUSH', log, key, position, value)
      push(log, rest)
    end
  end
  write('XADD', feed, position, 'p', id, 'k', key)
end

local function remove(place, start, stop)
  local id = numbers[place]
  if not id then return end
  local log, collection = KEYS[base + place], places[place]
  local first, _, count = find(log, start)
  local second = stop and find(log, stop) or count
  if second <= first then return end
  forget(KEYS[3 * collection - 1], log, first, second)
  if first == 0 and second == count then
    write('DEL', log)
    write('ZREM', KEYS[3 * collection], string.sub(log, cuts[collection] + 1))
    write('HDEL', KEYS[3 * collection + 1], id)
    numbers[place], heads[place] = nil, '0'
    return
  end
  if first == 0 then
    write('LTRIM', log, 3 * second + 1, -1)
    write('LPUSH', log, id)
  elseif second == count then
    write('LTRIM', log, 0, 3 * first)
  else
    push(log, cut(log, first, second))
  end
  heads[place] = call('LINDEX', log, -3)
end

local function set(place, mark, value)
  local version = string.format('%.0f', tonumber(heads[place]) + 1)
  write('SET', KEYS[base + place], version .. mark .. value)
  heads[place], present[place] = version, mark == '+'
end

local kinds = {
  function(ops, at) put(ops[at + 1], ops[at + 2], ARGV[ops[at + 3]]) return at + 4 end,
  function(ops, at) remove(ops[at + 1], ops[at + 2], ops[at + 3]) return at + 4 end,
  function(ops, at) remove(ops[at + 1], '0') return at + 2 end,
  function(ops, at) set(ops[at + 1], '+', ARGV[ops[at + 2]]) return at + 3 end,
  function(ops, at) if present[ops[at + 1]] then set(ops[at + 1], '-', '') end return at + 2 end,
  function(ops, at)
    write('DEL', KEYS[base + ops[at + 1]])
    heads[ops[at + 1]], present[ops[at + 1]] = '0', false
    return at + 2
  end,
}

local conflicts = {}
local function apply()
  for group = 1, #groups do
    local expectations, writes = groups[group][1], groups[group][2]
    local holds = true
    for at = 1, #expectations, 2 do
      local actual = heads[expectations[at]]
      if actual ~= expectations[at + 1] then
        conflicts[#conflicts + 1] = {group - 1, (at - 1) / 2, actual}
        holds = false
        break
      end
    end
    local at = 1
    while holds and at <= #writes do at = kinds[writes[at]](writes, at) end
  end
  local outcome = cmsgpack.pack(conflicts)
  write('SET', KEYS[1], stamp .. ' ' .. outcome, 'EX', expiry)
  return outcome
end

local done, outcome = pcall(apply)
if done then return outcome end
local reason = type(outcome) == 'table' and outcome.err or tostring(outcome)
if dirty then return redis.error_reply('PERDUREPARTLY ' .. reason) end
return redis.error_reply(reason)
