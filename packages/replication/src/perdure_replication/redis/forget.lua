-- Forgets a node, unless a later life of it has begun.
-- KEYS: claims, beat, kept, keepers. ARGV: node, the incarnation that is over, its last beat or nothing, milliseconds.
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held and (tonumber(string.match(held, '^(%d+):')) or -1) > tonumber(ARGV[2]) then
  return 0
end
redis.call('HDEL', KEYS[1], ARGV[1])
if ARGV[3] ~= '' then
  redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
end
redis.call('DEL', KEYS[3])
redis.call('SREM', KEYS[4], ARGV[1])
return 1
