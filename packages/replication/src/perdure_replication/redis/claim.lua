-- Puts a claim in the place of the one that was read; another one that came in between stays.
-- KEYS: claims. ARGV: node, the claim that was read or nothing, the new one. Returns 1 if it is kept.
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
