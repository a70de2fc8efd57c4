-- Return whether there is more, and keys, sizes and values of a log's entries: start <= key < stop.
-- KEYS: the log. ARGV: start, stop, limit, most bytes, '1' for descending.
local start, stop, limit, most, reverse = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == '1'
local first = find(KEYS[1], start)
local last = find(KEYS[1], stop)
local wanted = math.min(limit, last - first)
local keys, sizes, values = {}, {}, {}
local taken, bytes, chunk = 0, 0, 1
local full = false
while taken < wanted and not full do
  chunk = math.min(chunk, wanted - taken)
  local from = reverse and last - taken - chunk or first + taken
  local items = call('LRANGE', KEYS[1], 3 * from, 3 * (from + chunk) - 1)
  for entry = 0, chunk - 1 do
    local at = 3 * (reverse and chunk - 1 - entry or entry) + 1
    local value = items[at + 2]
    bytes = bytes + #value
    if bytes > most and taken > 0 then
      full = true
      break
    end
    taken = taken + 1
    keys[taken], sizes[taken], values[taken] = items[at], #value, value
  end
  chunk = math.min(4 * chunk, 256) -- who knows how large they are
end
local more = taken < last - first and 1 or 0
return {more, cmsgpack.pack(keys), cmsgpack.pack(sizes), table.concat(values)}
