-- Mark one session as lost, where its cloud is still away.
--
-- KEYS[1] cloud:C    the cloud's last rank; gone while it is away
-- KEYS[2] session:S  its record
-- ARGV    the state lost, then the states that live
--
-- Returns 1 where it was marked now.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local state = redis.call('HGET', KEYS[2], 'state')
for index = 2, #ARGV do
  if state == ARGV[index] then
    redis.call('HSET', KEYS[2], 'state', ARGV[1])
    return 1
  end
end
return 0
