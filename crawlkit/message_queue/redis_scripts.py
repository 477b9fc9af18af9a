"""The Lua scripts of the Redis queues: each is one atomic step, so that counters are exact whoever dies when.

Keys, all under the namespace ``{prefix}`` (the braces keep them on one node of a cluster)::

    :epoch      string: made once; another one when the data went
    :consumers  hash: consumer -> token of its connection; who is not in it may take nothing
    :beats      sorted set: consumer -> when it was heard last (ms)
    :judge      hash: last (anybody's beat), looked (the last judgement), grace (nobody is judged before)
    :queues     set: names of the queues
    :wake:NAME  channel of a consumer: "takers QUEUE" or "putters QUEUE"
    :QUEUE:stream     the messages, field b; group crawlkit; deleted as soon as they are acknowledged
    :QUEUE:count      hash: bytes (waiting and held), put (ever), dead_bytes, line (a counter)
    :QUEUE:takers, :QUEUE:putters  sorted sets: consumers who wait for a message, for room
    :QUEUE:deaths     hash: message -> consumers that died while they held it
    :QUEUE:dead       stream of dead letters: b and r (the reason)

What was given back stays in the stream and belongs to the consumer ``(back)``; it is taken before anything else.
"""

from __future__ import annotations

from crawlkit.message_queue.memory import MAX_DEAD, MAX_DEAD_BYTES, MAX_DEATHS, SUSPECT

GONE_AFTER = 2_000  # ms without a beat after which a consumer without a connection is dead
SILENT_AFTER = 10_000  # ms without a beat after which one with a connection is
GRACE = 3_000  # ms without judgements after the server was away

_COMMON = (
    f"""
local P = KEYS[1]
local GROUP, BACK = 'crawlkit', '(back)'
local MAX_DEAD, MAX_DEAD_BYTES, MAX_DEATHS, SUSPECT = {MAX_DEAD}, {MAX_DEAD_BYTES}, {MAX_DEATHS}, {SUSPECT}
local GONE_AFTER, SILENT_AFTER, GRACE = {GONE_AFTER}, {SILENT_AFTER}, {GRACE}
"""
    + """
local call = redis.call
local function key(q, part) return P .. ':' .. q .. ':' .. part end
local function now()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function bytes_of(q) return tonumber(call('HGET', key(q, 'count'), 'bytes') or 0) end

-- how many are held by consumers, and how many were given back
local function pending(q)
  local seen = redis.pcall('XPENDING', key(q, 'stream'), GROUP)
  if seen.err or seen[1] == 0 then return 0, 0 end
  local back = 0
  for _, one in ipairs(seen[4]) do
    if one[1] == BACK then back = tonumber(one[2]) end
  end
  return seen[1] - back, back
end

local function waiting_of(q)
  local held = pending(q)
  return call('XLEN', key(q, 'stream')) - held
end

local function room_of(q, waiting, max_messages, max_bytes)
  local bytes = bytes_of(q)
  if bytes > 0 and bytes >= max_bytes then return 0, bytes end
  return math.max(0, max_messages - waiting), bytes
end

-- wakes who waits longest; who is gone is passed over
local function tell(line, q)
  while true do
    local first = call('ZPOPMIN', key(q, line))
    if #first == 0 then return end
    if call('PUBLISH', P .. ':wake:' .. first[1], line .. ' ' .. q) > 0 then return end
  end
end

local function stand(line, q, consumer)
  call('ZADD', key(q, line), 'NX', call('HINCRBY', key(q, 'count'), 'line', 1), consumer)
end

-- wakes a putter when there is room worth waking it for
local function room_came(q, waiting, max_messages, max_bytes)
  local room, bytes = room_of(q, waiting, max_messages, max_bytes)
  if room > 0 and room * 4 >= max_messages and bytes * 4 <= max_bytes * 3 then tell('putters', q) end
  return room
end
"""
)

_BACK = """
local function put_aside(q, id, reason)
  local stream, dead, count = key(q, 'stream'), key(q, 'dead'), key(q, 'count')
  local found = call('XRANGE', stream, id, id)
  if call('XACK', stream, GROUP, id) == 0 or #found == 0 then return end
  local body = found[1][2][2]
  call('XDEL', stream, id)
  call('HDEL', key(q, 'deaths'), id)
  call('HINCRBY', count, 'bytes', -#body)
  call('XADD', dead, '*', 'b', body, 'r', reason)
  local kept = call('HINCRBY', count, 'dead_bytes', #body)
  local letters = call('XLEN', dead)
  while letters > MAX_DEAD or (kept > MAX_DEAD_BYTES and letters > 1) do
    local oldest = call('XRANGE', dead, '-', '+', 'COUNT', 1)[1]
    call('XDEL', dead, oldest[1])
    kept = call('HINCRBY', count, 'dead_bytes', -#oldest[2][2])
    letters = letters - 1
  end
end

local function to_back(q, ids)
  if #ids == 0 then return end
  local order = {'XCLAIM', key(q, 'stream'), GROUP, BACK, 0}
  for _, id in ipairs(ids) do order[#order + 1] = id end
  order[#order + 1] = 'JUSTID'
  call(unpack(order))
end

-- gives back what a consumer holds, except what is in keep
local function give_back(q, consumer, died, keep)
  local stream, from, moved = key(q, 'stream'), '-', 0
  while true do
    local some = redis.pcall('XPENDING', stream, GROUP, from, '+', 500, consumer)
    if some.err or #some == 0 then break end
    local ids = {}
    for _, one in ipairs(some) do
      if not (keep and keep[one[1]]) then
        if died and call('HINCRBY', key(q, 'deaths'), one[1], 1) > MAX_DEATHS then
          put_aside(q, one[1], (MAX_DEATHS + 1) .. ' consumers died or lost their connection while they held it')
        else
          ids[#ids + 1] = one[1]
        end
      end
    end
    to_back(q, ids)
    moved = moved + #ids
    from = '(' .. some[#some][1]
  end
  if moved > 0 then tell('takers', q) end
end

local function remove(consumer)
  call('ZREM', P .. ':beats', consumer)
  call('HDEL', P .. ':consumers', consumer)
end
"""

PUT = (
    _COMMON
    + """
-- queue, consumer, max_messages, max_bytes, wait, body...  ->  {how many went in, room, ever put}
local q, max_messages, max_bytes = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local stream, count = key(q, 'stream'), key(q, 'count')
local waiting, bytes, done, size = waiting_of(q), bytes_of(q), 0, 0
for i = 6, #ARGV do
  local one = #ARGV[i]
  if waiting + done >= max_messages or (bytes + size > 0 and bytes + size + one > max_bytes) then break end
  call('XADD', stream, '*', 'b', ARGV[i])
  done, size = done + 1, size + one
end
local ever = 0
if done > 0 then
  call('HINCRBY', count, 'bytes', size)
  ever = call('HINCRBY', count, 'put', done)
  tell('takers', q)
end
local room = room_of(q, waiting + done, max_messages, max_bytes)
if done < #ARGV - 5 then
  if ARGV[5] == '1' then stand('putters', q, ARGV[2]) end
else
  room_came(q, waiting + done, max_messages, max_bytes)
end
return {done, room, ever}
"""
)

ROOM = (
    _COMMON
    + """
-- queue, consumer, max_messages, max_bytes  ->  room; the consumer is told when some comes
local q, max_messages, max_bytes = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local room = room_of(q, waiting_of(q), max_messages, max_bytes)
if room > 0 then tell('putters', q) else stand('putters', q, ARGV[2]) end
return room
"""
)

TAKE = (
    _COMMON
    + """
-- queue, consumer, token, limit, byte budget, wait, max_messages, max_bytes
-- ->  {room, entries that were delivered before, how often, new entries}
local q, me, limit, wait = ARGV[1], ARGV[2], tonumber(ARGV[4]), ARGV[6]
if call('HGET', P .. ':consumers', me) ~= ARGV[3] then return redis.error_reply('GONE this consumer is not known') end
local stream = key(q, 'stream')
local held, back = pending(q)
local length = call('XLEN', stream)
if length > 0 then
  limit = math.min(limit, math.max(1, math.floor(tonumber(ARGV[5]) * length / math.max(1, bytes_of(q)))))
end
local again, counts, fresh, alone = {}, {}, {}, false
if back > 0 then
  local deaths = key(q, 'deaths')
  local blamed = call('EXISTS', deaths) == 1
  local order = {'XCLAIM', stream, GROUP, me, 0}
  for _, one in ipairs(call('XPENDING', stream, GROUP, '-', '+', limit, BACK)) do
    local suspect = blamed and tonumber(call('HGET', deaths, one[1]) or 0) >= SUSPECT
    alone = alone or suspect
    if suspect and #counts > 0 then break end
    order[#order + 1] = one[1]
    counts[#counts + 1] = one[4]
    if suspect then break end
  end
  again = call(unpack(order))
end
local taken = #counts
if taken < limit and taken == back and not alone then
  local order = {'XREADGROUP', 'GROUP', GROUP, me, 'COUNT', limit - taken, 'STREAMS', stream, '>'}
  local answer = redis.pcall(unpack(order))
  if answer and answer.err then
    if not string.find(answer.err, 'NOGROUP', 1, true) then return answer end
    call('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM')
    answer = call(unpack(order))
  end
  if answer then fresh = answer[1][2] end
  taken = taken + #fresh
end
if wait == '2' or (wait == '1' and taken == 0) then stand('takers', q, me) end
local waiting = length - held - taken
if waiting > 0 then tell('takers', q) end
return {room_came(q, waiting, tonumber(ARGV[7]), tonumber(ARGV[8])), again, counts, fresh}
"""
)

PASS = (
    _COMMON
    + """
-- queue: somebody was told of a message and does not want it
if waiting_of(ARGV[1]) > 0 then tell('takers', ARGV[1]) end
"""
)

ACK = (
    _COMMON
    + """
-- queue, consumer, max_messages, max_bytes, (id, bytes)...  ->  room
local q = ARGV[1]
local stream, deaths = key(q, 'stream'), key(q, 'deaths')
if call('HEXISTS', P .. ':consumers', ARGV[2]) == 1 then
  local blamed, freed = call('EXISTS', deaths) == 1, 0
  for i = 5, #ARGV, 2 do
    if call('XACK', stream, GROUP, ARGV[i]) == 1 then
      call('XDEL', stream, ARGV[i])
      freed = freed + ARGV[i + 1]
      if blamed then call('HDEL', deaths, ARGV[i]) end
    end
  end
  if freed > 0 then call('HINCRBY', key(q, 'count'), 'bytes', -freed) end
end
return room_came(q, waiting_of(q), tonumber(ARGV[3]), tonumber(ARGV[4]))
"""
)

NACK = (
    _COMMON
    + _BACK
    + """
-- queue, consumer, id...
if call('HEXISTS', P .. ':consumers', ARGV[2]) == 0 then return end
local ids = {}
for i = 3, #ARGV do ids[#ids + 1] = ARGV[i] end
to_back(ARGV[1], ids)
tell('takers', ARGV[1])
"""
)

REJECT = (
    _COMMON
    + _BACK
    + """
-- queue, consumer, max_messages, max_bytes, reason, id...  ->  room
if call('HEXISTS', P .. ':consumers', ARGV[2]) == 1 then
  for i = 6, #ARGV do put_aside(ARGV[1], ARGV[i], ARGV[5]) end
end
return room_came(ARGV[1], waiting_of(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4]))
"""
)

DEAD = (
    _COMMON
    + """
-- queue, limit  ->  entries, newest first
return call('XREVRANGE', key(ARGV[1], 'dead'), '+', '-', 'COUNT', ARGV[2])
"""
)

FLOWS = (
    _COMMON
    + """
-- queue... (none: all)  ->  (name, messages, bytes, unacked, put, dead)...
local names, found = ARGV, {}
if #names == 0 then names = call('SMEMBERS', P .. ':queues') end
for _, q in ipairs(names) do
  local count = call('HMGET', key(q, 'count'), 'bytes', 'put')
  found[#found + 1] = {
    q, call('XLEN', key(q, 'stream')), tonumber(count[1] or 0), (pending(q)), tonumber(count[2] or 0),
    call('XLEN', key(q, 'dead'))
  }
end
return found
"""
)

PURGE = (
    _COMMON
    + """
-- queue, max_messages, max_bytes  ->  how many messages
local q = ARGV[1]
local stream = key(q, 'stream')
local dropped = call('XLEN', stream)
call('DEL', stream, key(q, 'deaths'))
call('HSET', key(q, 'count'), 'bytes', 0)
room_came(q, 0, tonumber(ARGV[2]), tonumber(ARGV[3]))
return dropped
"""
)

GREET = (
    _COMMON
    + _BACK
    + """
-- consumer, token, epoch to make, 1: it is new, (queue, ever put, n, id * n)...  ->  {known, epoch}
local me, new = ARGV[1], ARGV[4] == '1'
call('ZREM', P .. ':beats', '')  -- a first write that memory cannot refuse: those after it pass at maxmemory too
call('SET', P .. ':epoch', ARGV[3], 'NX')
if not new and call('HEXISTS', P .. ':consumers', me) == 0 then return {0, call('GET', P .. ':epoch')} end
call('HSET', P .. ':consumers', me, ARGV[2])
call('ZADD', P .. ':beats', now(), me)
local i = 5
while i <= #ARGV do
  local q, n, keep = ARGV[i], tonumber(ARGV[i + 2]), {}
  call('SADD', P .. ':queues', q)
  if tonumber(call('HGET', key(q, 'count'), 'put') or 0) < tonumber(ARGV[i + 1]) then
    call('SET', P .. ':epoch', ARGV[3])  -- this server came back with old data
  end
  for j = i + 3, i + 2 + n do keep[ARGV[j]] = true end
  if not new then give_back(q, me, false, keep) end
  i = i + 3 + n
end
return {1, call('GET', P .. ':epoch')}
"""
)

BEAT = (
    _COMMON
    + _BACK
    + """
-- consumer, token, epoch to make, max_messages, max_bytes, queue...  ->  {known, epoch, (messages that wait, room)...}
local me, beats, judge, time = ARGV[1], P .. ':beats', P .. ':judge', now()
call('ZREM', beats, '')  -- see GREET
call('SET', P .. ':epoch', ARGV[3], 'NX')
if call('HGET', P .. ':consumers', me) ~= ARGV[2] then return {0, call('GET', P .. ':epoch')} end
call('ZADD', beats, time, me)
local seen = call('HMGET', judge, 'last', 'looked', 'grace')
if seen[1] and time - seen[1] > GONE_AFTER then  -- nobody was heard: it was the server that was away
  seen[3] = time + GRACE
  call('HSET', judge, 'grace', seen[3])
end
call('HSET', judge, 'last', time)
if time >= tonumber(seen[3] or 0) and time - tonumber(seen[2] or 0) >= 400 then
  call('HSET', judge, 'looked', time)
  for _, other in ipairs(call('ZRANGEBYSCORE', beats, '-inf', time - GONE_AFTER)) do
    local age = time - call('ZSCORE', beats, other)
    if age > SILENT_AFTER or call('PUBSUB', 'NUMSUB', P .. ':wake:' .. other)[2] == 0 then remove(other) end
  end
  for _, q in ipairs(call('SMEMBERS', P .. ':queues')) do
    local held = redis.pcall('XPENDING', key(q, 'stream'), GROUP)
    if not held.err and held[1] > 0 then
      for _, one in ipairs(held[4]) do
        if one[1] ~= BACK and not call('ZSCORE', beats, one[1]) then
          give_back(q, one[1], true)
          call('XGROUP', 'DELCONSUMER', key(q, 'stream'), GROUP, one[1])
        end
      end
    end
  end
end
local answer = {1, call('GET', P .. ':epoch')}
for i = 6, #ARGV do
  local q = ARGV[i]
  call('SADD', P .. ':queues', q)
  local waiting = waiting_of(q)
  answer[#answer + 1] = waiting
  answer[#answer + 1] = (room_of(q, waiting, tonumber(ARGV[4]), tonumber(ARGV[5])))
end
return answer
"""
)

LEAVE = (
    _COMMON
    + _BACK
    + """
-- consumer: gives back what it holds and goes
for _, q in ipairs(call('SMEMBERS', P .. ':queues')) do
  give_back(q, ARGV[1], false)
  redis.pcall('XGROUP', 'DELCONSUMER', key(q, 'stream'), GROUP, ARGV[1])
  call('ZREM', key(q, 'takers'), ARGV[1])
  call('ZREM', key(q, 'putters'), ARGV[1])
end
remove(ARGV[1])
"""
)

ALL = (PUT, ROOM, TAKE, PASS, ACK, NACK, REJECT, DEAD, FLOWS, PURGE, GREET, BEAT, LEAVE)
