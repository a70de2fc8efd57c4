-- Return whether there is more, and positions, prefixes, keys, sizes and values of a feed's records after a position.
-- KEYS: the feed, the numbers of its prefixes. ARGV: position, limit, most bytes, what the names of its logs begin with.
-- The names of the logs are found on the way; they are in the same slot.
local most = tonumber(ARGV[3])
local entries = call('XRANGE', KEYS[1], '(' .. ARGV[1] .. '-0', '+', 'COUNT', ARGV[2])
local positions, prefixes, keys, sizes, values = {}, {}, {}, {}, {}
local known, bytes, at = {}, 0, 0
local more = #entries == tonumber(ARGV[2]) and 1 or 0
for index = 1, #entries do
  local id, key = entries[index][2][2], entries[index][2][4]
  local prefix = known[id] or call('HGET', KEYS[2], id)
  known[id] = prefix
  local log = ARGV[4] .. prefix
  local entry, found = find(log, key)
  if not found then return redis.error_reply('PERDUREDAMAGED the feed has ' .. key .. ', which ' .. log .. ' has not') end
  local value = call('LINDEX', log, 3 * entry + 3)
  bytes = bytes + #value
  if bytes > most and at > 0 then
    more = 1
    break
  end
  at = at + 1
  positions[at] = tonumber(string.match(entries[index][1], '^%d+'))
  prefixes[at], keys[at], sizes[at], values[at] = prefix, key, #value, value
end
return {
  more,
  cmsgpack.pack(positions),
  cmsgpack.pack(prefixes),
  cmsgpack.pack(keys),
  cmsgpack.pack(sizes),
  table.concat(values),
}
