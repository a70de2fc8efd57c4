-- Ends a life: its last beat says that it has left, and what was kept of the node goes.
-- KEYS: claims, beat, kept, keepers. ARGV: node, its claim, its last beat, milliseconds.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
redis.call('DEL', KEYS[3])
redis.call('SREM', KEYS[4], ARGV[1])
return 1
