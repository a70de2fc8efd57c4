-- Return schema and slices of the store, which is made if there is none. KEYS: its record. ARGV: schema, slices.
local call = redis.call
if call('EXISTS', KEYS[1]) == 1 and call('HEXISTS', KEYS[1], 'schema') == 0 then
  return redis.error_reply('PERDUREFOREIGN the key is of another program')
end
if call('HSETNX', KEYS[1], 'schema', ARGV[1]) == 1 then -- which a replica refuses, even where nothing would change
  call('HSET', KEYS[1], 'slices', ARGV[2])
end
return call('HMGET', KEYS[1], 'schema', 'slices')
