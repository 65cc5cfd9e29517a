-- Set, keep or release the name of a session: a name belongs to at most one live session.
--
-- KEYS[1] name:N     hash: session  that has the name, or had it last
--                          state    starting: the name is reserved while the session is started, and renewed with the
--                                   claim of its create (renew.lua); live; or ended: any session may take the name
--                          request  OP:ID of the create that reserved it: a takeover of that may have the name
-- KEYS[2] session:S  its record; its name is the name that it has, or had until its end
-- ARGV    the new state (starting, live, ended, gone, or given_up: gone, while its node is offline), the name, session,
--         request (OP:ID), TTL of the name (ms)
--
-- Returns {verdict, session}: done; taken, by that session; or given_up: another node released this name for this
-- session. The name of a live session that has lost it so is removed from its record.
local wanted, name, session, request, life = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local held = redis.call('HMGET', KEYS[1], 'session', 'state', 'request')
local ours = held[1] == session

if wanted == 'gone' or wanted == 'given_up' then
  if ours then redis.call('DEL', KEYS[1]) end
  if wanted == 'given_up' then redis.call('HDEL', KEYS[2], 'name') end
  return {'done', session}
end
if wanted == 'live' and redis.call('EXISTS', KEYS[2]) == 1 and redis.call('HGET', KEYS[2], 'name') ~= name then
  return {'given_up', ''}
end
local free = not held[1] or ours or held[2] == 'ended'
if wanted == 'ended' then free = not held[1] or ours end
if held[2] == 'starting' then
  -- A live session has priority: this Redis had lost its name, which cannot have been reserved otherwise.
  free = ours or wanted == 'live' or (wanted == 'starting' and held[3] == request)
end
if not free then
  if wanted == 'live' then redis.call('HDEL', KEYS[2], 'name') end
  return {'taken', held[1]}
end
redis.call('HSET', KEYS[1], 'session', session, 'state', wanted, 'request', request)
redis.call('PEXPIRE', KEYS[1], life)
return {'done', session}
