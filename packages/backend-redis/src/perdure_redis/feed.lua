-- Return whether there is more, and positions, prefixes, keys, sizes and values of a feed's records after a position.
-- KEYS: the feed, the numbers of its prefixes. ARGV: position, limit, most bytes, what the names of its logs begin with.
-- The names of the logs are found on the way; they are in the same slot.
local after, limit, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local logs = {}

local function opened(id)
  local prefix = call('HGET', KEYS[2], id)
  if not prefix then return {} end -- purged
  local name = ARGV[4] .. prefix
  local first = call('LINDEX', name, 0)
  return {prefix = prefix, name = name, first = tonumber(first), there = first}
end

-- Return the value of a record, or nothing where its entry is gone or was put again.
local function read(log, key, position)
  if not log.prefix then return end
  local entry = tonumber(key) - log.first -- right wherever nothing is missing
  local item = entry >= 0 and entry < 2 ^ 40 and call('LRANGE', log.name, 3 * entry, 3 * entry + 2) or {}
  if item[1] ~= key then
    local found
    entry, found = find(log.name, key)
    if not found then return end
    item = call('LRANGE', log.name, 3 * entry, 3 * entry + 2)
  end
  return tonumber(item[2]) == position and item[3]
end

local positions, prefixes, keys, sizes, values = {}, {}, {}, {}, {}
local bytes, at, more, ended = 0, 0, 0, false
local before = call('XREVRANGE', KEYS[1], ARGV[1], '-', 'COUNT', 1)[1] -- the position may lie in the midst of a block
local from, some = before and before[1] or '-', 16
while not ended do
  local blocks = call('XRANGE', KEYS[1], from, '+', 'COUNT', some)
  ended = #blocks < some
  for index = 1, #blocks do
    local position = tonumber(string.match(blocks[index][1], '^%d+')) - 1
    for id, key in string.gmatch(blocks[index][2][2], '(%d+) (%d+)') do
      position = position + 1
      if position > after then
        if at >= limit then
          more, ended = 1, true
          break
        end
        local log = logs[id] or opened(id)
        logs[id] = log
        if log.prefix and not log.there then
          return redis.error_reply('PERDUREDAMAGED the feed has ' .. key .. ', and there is no ' .. log.name)
        end
        local value = read(log, key, position)
        if value then
          bytes = bytes + #value
          if bytes > most and at > 0 then
            more, ended = 1, true
            break
          end
          at = at + 1
          positions[at], prefixes[at], keys[at], sizes[at], values[at] = position, log.prefix, key, #value, value
        end
      end
    end
    if more == 1 then break end
  end
  if #blocks > 0 then from = '(' .. blocks[#blocks][1] end
  some = math.min(2 * some, 256)
end
return {
  more,
  cmsgpack.pack(positions),
  cmsgpack.pack(prefixes),
  cmsgpack.pack(keys),
  cmsgpack.pack(sizes),
  table.concat(values),
}
