-- Keeps a snapshot, if it is of a later life than the one that is kept, or a later one of the same life.
-- KEYS: kept, keepers. ARGV: node, state, incarnation, number in it, snapshot. Returns 1 if it is kept.
local order = 'o:' .. ARGV[2]
local held = redis.call('HGET', KEYS[1], order)
if held then
  local incarnation, number = string.match(held, '^(%d+):(%d+)$')
  incarnation, number = tonumber(incarnation) or -1, tonumber(number) or -1
  local mine = tonumber(ARGV[3])
  if incarnation > mine or (incarnation == mine and number > tonumber(ARGV[4])) then
    return 0
  end
end
redis.call('HSET', KEYS[1], order, ARGV[3] .. ':' .. ARGV[4], 'v:' .. ARGV[2], ARGV[5])
redis.call('SADD', KEYS[2], ARGV[1])
return 1
