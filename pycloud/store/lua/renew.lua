-- Renew a claim while its request is in progress, in any run of Redis: the holder thereby states that it has not been
-- answered, so that other nodes may take it over when the holder fails. The keys are described in claim.lua.
--
-- KEYS[1] request:OP:ID, KEYS[2] claims, KEYS[3] name:N where a name is reserved for it (update_name.lua)
-- ARGV    member (OP:ID), token, lease (ms), TTL of the key (ms), TTL of the name (ms), run
--
-- Returns 1, or 0 where the claim is not held with this token (any more) or is answered.
local was = redis.call('HMGET', KEYS[1], 'token', 'response')
if was[1] ~= ARGV[2] or was[2] then return 0 end
local time = redis.call('TIME')
local lease = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3]
redis.call('HSET', KEYS[1], 'lease', lease, 'run', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('ZADD', KEYS[2], lease, ARGV[1])
if KEYS[3] then
  local held = redis.call('HMGET', KEYS[3], 'state', 'request')
  if held[1] == 'starting' and held[2] == ARGV[1] then redis.call('PEXPIRE', KEYS[3], ARGV[5]) end
end
return 1
