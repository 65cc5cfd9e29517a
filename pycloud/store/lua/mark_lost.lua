-- Mark one session as lost, where its node is still offline.
--
-- KEYS[1] cloud:C    the node's last heartbeat; missing while it is offline
-- KEYS[2] session:S  its record
-- ARGV    the state lost, then the live states
--
-- Returns its name and labels (as JSON; both may be empty) where it was marked now, otherwise nothing.
if redis.call('EXISTS', KEYS[1]) == 1 then return {} end
local state = redis.call('HGET', KEYS[2], 'state')
for index = 2, #ARGV do
  if state == ARGV[index] then
    redis.call('HSET', KEYS[2], 'state', ARGV[1])
    local known = redis.call('HMGET', KEYS[2], 'name', 'labels')
    return {known[1] or '', known[2] or ''}
  end
end
return {}
