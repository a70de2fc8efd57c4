-- Apply the groups whose expectations hold, and return the conflicts of the others, once for each number of a writer.
-- KEYS: the writer's last number and outcome; heads, feed, prefixes, numbers and losses of each collection; the places.
-- ARGV: the plan (MessagePack), then the values.
--
-- A call of the server's costs some microseconds, so an event costs one, RPUSH. All heads are read by one HMGET and
-- written by one HSET, and the feed takes up to 64 records, "number key,number key,…", as one entry of a stream. The id
-- of such a block is the position of its first record and the number of its records.
local number, expiry, cuts, places, plan = unpack(cmsgpack.unpack(ARGV[1]))
local stamp = string.format('%.0f', number)
local BLOCK, MANY = 64, 3000

local said = call('GET', KEYS[1])
if said then
  local last = string.match(said, '^%d+')
  if last == stamp then -- written again, so that WAIT has something to wait for
    call('SET', KEYS[1], said, 'EX', expiry)
    return string.sub(said, #stamp + 2)
  end
  if less(stamp, last) then return redis.error_reply('PERDURELATE a later commit of this writer was applied') end
end

local base = 1 + 5 * #cuts
local heads_of, feeds, prefixes, numbers, losses = {}, {}, {}, {}, {}
for collection = 1, #cuts do
  heads_of[collection], feeds[collection], prefixes[collection], numbers[collection], losses[collection] =
    unpack(KEYS, 5 * collection - 3, 5 * collection + 1)
end

-- All reads come before the first write: a key of a wrong type is found while nothing has changed yet.
local heads, ids, texts, names, versions, present = {}, {}, {}, {}, {}, {}
local asked, owners, pending, touched, counters, latest = {}, {}, {}, {}, {}, {}
for collection = 1, #cuts do
  asked[collection], owners[collection], pending[collection], touched[collection] = {''}, {0}, {}, {}
end
for place = 1, #places do
  local key, collection = KEYS[base + place], places[place]
  if collection > 0 then
    local fields = asked[collection]
    local name = string.sub(key, cuts[collection] + 1)
    names[place] = name
    fields[#fields + 1] = name
    owners[collection][#fields] = place
  else
    local version, mark = string.match(call('GETRANGE', key, 0, 20), '^(%d+)([+-])')
    heads[place], present[place] = version or '0', mark == '+'
  end
end

-- A position is the time in microseconds since 2024, or more: after a failover that lost the newest, none is used again.
local time = call('TIME')
local clock = (time[1] - 1704067200) * 1000000 + time[2]
local match = string.match
for collection = 1, #cuts do
  local fields, owner = asked[collection], owners[collection]
  for first = 1, #fields, MANY do
    local found = call('HMGET', heads_of[collection], unpack(fields, first, math.min(first + MANY - 1, #fields)))
    for index = 1, #found do
      local place, text = owner[first + index - 1], found[index]
      if place == 0 then
        local counter, position = match(text or '0 0', '^(%d+) (%d+)')
        counters[collection], latest[collection] = tonumber(counter), math.max(tonumber(position), clock)
        if not text and call('XLEN', feeds[collection]) > 0 then
          return redis.error_reply('PERDUREDAMAGED ' .. feeds[collection] .. ' has records, and there are no heads')
        end
      elseif text then
        ids[place], heads[place] = match(text, '^(%d+) (%d+)$')
      else
        heads[place] = '0'
        if call('LLEN', KEYS[base + place]) > 0 then
          return redis.error_reply('PERDUREDAMAGED ' .. KEYS[base + place] .. ' has entries and no head')
        end
      end
    end
  end
end

local dirty = false
local function write(...)
  local reply = call(...)
  dirty = true
  return reply
end

local function push(log, items)
  for first = 1, #items, MANY do
    write('RPUSH', log, unpack(items, first, math.min(first + MANY - 1, #items)))
  end
end

local function flush(collection)
  local refs = pending[collection]
  if #refs == 0 then return end
  pending[collection] = {}
  local block = string.format('%.0f-%d', latest[collection] - #refs + 1, #refs)
  write('XADD', feeds[collection], block, 'records', table.concat(refs, ','))
end

-- Set what the end of a log is called in the heads, and in the feed.
local function touch(place, collection, text)
  if not texts[place] then
    local some = touched[collection]
    some[#some + 1] = place
  end
  texts[place] = text
end

-- Longer than hash-max-listpack-value, so that the hash is one at once: a list of pairs is searched from its start.
local LEGEND = 'logs numbered so far and the last position; for each log its number and its last key'

local function save(collection)
  local changed = touched[collection]
  local items = {'', string.format('%.0f %.0f %s', counters[collection], latest[collection], LEGEND)}
  for index = 1, #changed do
    local place = changed[index]
    if texts[place] then
      items[#items + 1] = names[place]
      items[#items + 1] = texts[place]
    end
  end
  for first = 1, #items, MANY do
    write('HSET', heads_of[collection], unpack(items, first, math.min(first + MANY - 1, #items)))
  end
end

local function finish()
  for collection = 1, #cuts do
    if #touched[collection] > 0 then save(collection) end
  end
  for collection = 1, #cuts do flush(collection) end
end

-- Cut off the entries from the first on, without those before the second, and return the rest.
local function cut(log, first, second)
  local rest = call('LRANGE', log, 3 * second, -1)
  if first == 0 then write('DEL', log) else write('LTRIM', log, 0, 3 * first - 1) end
  return rest
end

-- Count the records of the feed that lose their entries, and remove each block that has none left.
local function forget(collection, log, first, second)
  flush(collection)
  local feed, lost = feeds[collection], losses[collection]
  local block, begin, size, count = false, 0, 0, 0
  local function settle()
    if not block then return end
    if count < size then count = tonumber(write('HINCRBY', lost, block, count)) end
    if count < size then return end
    write('XDEL', feed, block)
    if size > 1 then write('HDEL', lost, block) end
  end
  while first < second do
    local positions = {}
    if second - first <= 8 then
      for entry = first, second - 1 do positions[#positions + 1] = call('LINDEX', log, 3 * entry + 1) end
    else
      local some = call('LRANGE', log, 3 * first, 3 * math.min(first + 256, second) - 1)
      for item = 2, #some, 3 do positions[#positions + 1] = some[item] end
    end
    for index = 1, #positions do
      local position = tonumber(positions[index])
      if not block or position < begin or position >= begin + size then
        settle()
        local found = call('XREVRANGE', feed, positions[index], '-', 'COUNT', 1)[1]
        block, count = found and found[1], 0
        if block then
          local from, many = match(block, '^(%d+)-(%d+)$')
          begin, size = tonumber(from), tonumber(many)
        end
      end
      count = count + 1
    end
    first = first + #positions
  end
  settle()
end

local function register(place, collection)
  local id = string.format('%.0f', counters[collection] + 1)
  write('HSET', numbers[collection], id, names[place])
  counters[collection] = counters[collection] + 1
  write('ZADD', prefixes[collection], 0, names[place])
  ids[place] = id
end

-- Return the position of a record that the feed gets.
local function feed(place, collection, key)
  local refs = pending[collection]
  if #refs == BLOCK then
    flush(collection)
    refs = pending[collection]
  end
  local position = latest[collection] + 1
  latest[collection] = position
  local text = ids[place] .. ' ' .. key
  refs[#refs + 1] = text
  return position, text
end

local function put(place, key, value)
  local log, collection, head = KEYS[base + place], places[place], heads[place]
  if not ids[place] then register(place, collection) end
  local position, text = feed(place, collection, key)
  if #head < #key or (#head == #key and head < key) then
    call('RPUSH', log, key, position, value)
    dirty = true
    heads[place] = key
    touch(place, collection, text)
    return
  end
  touch(place, collection, texts[place] or ids[place] .. ' ' .. heads[place])
  local entry, found = find(log, key)
  if found then
    forget(collection, log, entry, entry + 1)
    write('LSET', log, 3 * entry + 1, position)
    write('LSET', log, 3 * entry + 2, value)
  else
    local rest = cut(log, entry, entry)
    write('RPUSH', log, key, position, value)
    push(log, rest)
  end
end

-- Put values under keys that ascend, in one call.
local function extend(place, at, count, value)
  if not less(heads[place], plan[at]) then
    for index = 0, count - 1 do put(place, plan[at + index], ARGV[value + index]) end
    return
  end
  local collection = places[place]
  if not ids[place] then register(place, collection) end
  local items, text = {}, nil
  for index = 0, count - 1 do
    local key = plan[at + index]
    local item = 3 * index
    items[item + 1] = key
    items[item + 2], text = feed(place, collection, key)
    items[item + 3] = ARGV[value + index]
  end
  push(KEYS[base + place], items)
  heads[place] = plan[at + count - 1]
  touch(place, collection, text)
end

-- Set the value alone: the entry keeps its position, and the feed has nothing new.
local function replace(place, key, value)
  local log = KEYS[base + place]
  local entry, found = find(log, key)
  if found then write('LSET', log, 3 * entry + 2, value) end
end

local function remove(place, start, stop)
  local id = ids[place]
  if not id then return end
  local log, collection = KEYS[base + place], places[place]
  local first, _, count = find(log, start)
  local second = stop and find(log, stop) or count
  if second <= first then return end
  forget(collection, log, first, second)
  if first == 0 and second == count then
    write('DEL', log)
    write('HDEL', heads_of[collection], names[place])
    write('ZREM', prefixes[collection], names[place])
    write('HDEL', numbers[collection], id)
    ids[place], heads[place], texts[place] = nil, '0', nil
    return
  end
  if first == 0 then
    write('LTRIM', log, 3 * second, -1)
  elseif second == count then
    write('LTRIM', log, 0, 3 * first - 1)
  else
    push(log, cut(log, first, second))
  end
  heads[place] = call('LINDEX', log, -3)
  touch(place, collection, id .. ' ' .. heads[place])
end

local function set(place, mark, value)
  local version = string.format('%.0f', tonumber(heads[place]) + 1)
  write('SET', KEYS[base + place], version .. mark .. value)
  heads[place], present[place] = version, mark == '+'
end

local kinds = {
  function(at)
    local count = plan[at + 3]
    if count == 1 then put(plan[at + 1], plan[at + 4], ARGV[plan[at + 2]])
    else extend(plan[at + 1], at + 4, count, plan[at + 2]) end
    return at + 4 + count
  end,
  function(at) remove(plan[at + 1], plan[at + 2], plan[at + 3]) return at + 4 end,
  function(at) remove(plan[at + 1], '0') return at + 2 end,
  function(at) set(plan[at + 1], '+', ARGV[plan[at + 2]]) return at + 3 end,
  function(at) if present[plan[at + 1]] then set(plan[at + 1], '-', '') end return at + 2 end,
  function(at)
    write('DEL', KEYS[base + plan[at + 1]])
    heads[plan[at + 1]], present[plan[at + 1]] = '0', false
    return at + 2
  end,
  function(at) replace(plan[at + 1], plan[at + 2], ARGV[plan[at + 3]]) return at + 4 end,
}

local conflicts = {}
local function apply()
  local at, group = 1, 0
  while at <= #plan do
    local holds, first = true, at + 1
    at = first + 2 * plan[at]
    for expected = first, at - 1, 2 do
      local actual = heads[plan[expected]]
      if actual ~= plan[expected + 1] then
        conflicts[#conflicts + 1] = {group, (expected - first) / 2, actual}
        holds = false
        break
      end
    end
    local stop = at + 1 + plan[at]
    at = at + 1
    while holds and at < stop do at = kinds[plan[at]](at) end
    at = stop
    group = group + 1
  end
  finish()
  local outcome = cmsgpack.pack(conflicts)
  write('SET', KEYS[1], stamp .. ' ' .. outcome, 'EX', expiry)
  return outcome
end

local done, outcome = pcall(apply)
if done then return outcome end
local reason = type(outcome) == 'table' and outcome.err or tostring(outcome)
reason = string.gsub(reason, '^@user_script: ?%d+: %-?', '') -- where Redis 6.2 puts the code of the error
if not dirty then return redis.error_reply(reason) end
pcall(finish) -- the heads of what was written before
return redis.error_reply('PERDUREPARTLY ' .. reason)
