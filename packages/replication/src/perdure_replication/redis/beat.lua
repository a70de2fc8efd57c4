-- Writes a beat, and the node's claim where the broker has lost it or has an earlier one.
-- KEYS: claims, beat. ARGV: node, its claim, its beat, milliseconds, a claim to be ignored.
-- Returns the claim of another life, if there is one that is not earlier; then nothing is written.
local function number(claim)
  return tonumber(string.match(claim, '^(%d+):')) or -1
end

local held = redis.call('HGET', KEYS[1], ARGV[1])
if held and held ~= ARGV[2] and held ~= ARGV[5] and number(held) >= number(ARGV[2]) then
  return held
end
if held ~= ARGV[2] then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
return false
