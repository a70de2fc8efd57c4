-- A log is a list: key, position and value of each entry in turn.
local call = redis.call

-- Keys have 63 bits, of which a number of Lua's holds 53, so they are compared as text.
local function less(a, b)
  return #a < #b or (#a == #b and a < b)
end

-- Return how many entries have a lesser key, whether the next one has this key, and how many there are.
local function find(log, key)
  local count = call('LLEN', log) / 3
  if count < 1 then return 0, false, 0 end
  local head = call('LINDEX', log, -3)
  if less(head, key) then return count, false, count end
  local first = call('LINDEX', log, 0)
  if not less(first, key) then return 0, first == key, count end
  local guess = tonumber(key) - tonumber(first) -- right wherever nothing is missing
  if guess < count and call('LINDEX', log, 3 * guess) == key then return guess, true, count end
  local low, high = 1, count - 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if less(call('LINDEX', log, 3 * middle), key) then low = middle + 1 else high = middle end
  end
  return low, call('LINDEX', log, 3 * low) == key, count
end
