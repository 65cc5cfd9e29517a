-- Tell a Redis that has forgotten it which request a living session answered, so that a repeat makes no twin.
-- The key is described in claim.lua.
--
-- KEYS[1] request:create:ID
-- ARGV    token, digest, response, life of the key (ms)
--
-- Returns 1, or 0 where Redis knows the request.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'digest', ARGV[2], 'response', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
