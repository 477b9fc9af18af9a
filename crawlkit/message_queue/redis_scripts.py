"""The Lua scripts of the Redis queues: each is one atomic step, so that counters are exact whoever dies when.

Keys, all under the namespace ``{prefix}`` (the braces keep them on one node of a cluster)::

    :epoch      string: made once; another one when the data went
    :consumers  set: those that may take; a process has another name on each of its connections
    :beats      sorted set: consumer -> when it was heard last (ms)
    :judge      hash: last (anybody's beat), looked (the last judgement), grace (nobody is judged before)
    :queues     set: names of the queues
    :wake:NAME  channel of a consumer: "takers", "back" (something was given back) or "putters", and the queue
    :QUEUE:stream     the messages, field b; group crawlkit; deleted as soon as they are acknowledged
    :QUEUE:count      hash: bytes (waiting and held), put (ever), dead_bytes, line (a counter)
    :QUEUE:takers, :QUEUE:putters  sorted sets: consumers who wait for a message, for room
    :QUEUE:deaths     hash: message -> consumers that died while they held it
    :QUEUE:dead       stream of dead letters: b and r (the reason)

What was given back stays in the stream and belongs to the consumer ``(back)``; it is taken before anything else.
Bodies pass through Lua only where that cannot be helped, for it copies them four times: a put adds them by plain
commands in one transaction with ``PUT``, and a get reads them by a plain XREADGROUP before ``AFTER``.

Most scripts answer with the state of the queue: room, messages that wait, of those given back, bytes, messages in all.
"""

from __future__ import annotations

from crawlkit.message_queue.memory import MAX_DEAD, MAX_DEAD_BYTES, MAX_DEATHS, SUSPECT

OF_ALL = ("epoch", "consumers", "beats", "judge", "queues")  # keys
OF_A_QUEUE = ("stream", "count", "takers", "putters", "deaths", "dead")
GROUP = "crawlkit"  # of consumers, on every stream
GONE_AFTER = 2_000  # ms without a beat after which a consumer without a connection is dead
SILENT_AFTER = 10_000  # ms without a beat after which one with a connection is
GRACE = 3_000  # ms without judgements after the server was away

_LIMITS = f"""
local MAX_DEAD, MAX_DEAD_BYTES, MAX_DEATHS, SUSPECT = {MAX_DEAD}, {MAX_DEAD_BYTES}, {MAX_DEATHS}, {SUSPECT}
local GROUP, GONE_AFTER, SILENT_AFTER, GRACE = '{GROUP}', {GONE_AFTER}, {SILENT_AFTER}, {GRACE}
"""

_COMMON = """
local P = KEYS[1]
local BACK = '(back)'
local call = redis.call
local function key(q, part) return P .. ':' .. q .. ':' .. part end
local function now_ms()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

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

local function bytes_of(q) return tonumber(call('HGET', key(q, 'count'), 'bytes') or 0) end

local function state(q, max_messages, max_bytes)
  local held, back = pending(q)
  local length, bytes = call('XLEN', key(q, 'stream')), bytes_of(q)
  local room = math.max(0, tonumber(max_messages) - length + held)
  if bytes > 0 and bytes >= tonumber(max_bytes) then room = 0 end
  return {room, length - held, back, bytes, length}
end

-- wakes who waits longest; who is gone is passed over
local ME, TOLD  -- in a transaction: a push to oneself would come into the middle of its answer
local function tell(line, q, word)
  while true do
    local first = call('ZPOPMIN', key(q, line))
    if #first == 0 then return end
    if first[1] == ME then
      TOLD[#TOLD + 1] = word
      return
    end
    if call('PUBLISH', P .. ':wake:' .. first[1], word .. ' ' .. q) > 0 then return end
  end
end

local function message_came(q, now)
  if now[2] > 0 then tell('takers', q, now[3] > 0 and 'back' or 'takers') end
end

-- wakes a putter when there is room worth waking it for
local function room_came(q, now, max_messages, max_bytes)
  if now[1] > 0 and now[1] * 4 >= tonumber(max_messages) and now[4] * 4 <= tonumber(max_bytes) * 3 then
    tell('putters', q, 'putters')
  end
end

local function stand(line, q, consumer)
  call('ZADD', key(q, line), 'NX', call('HINCRBY', key(q, 'count'), 'line', 1), consumer)
end
"""

_MOVING = """
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

local function hand(owner, q, ids)
  if #ids == 0 then return end
  local order = {'XCLAIM', key(q, 'stream'), GROUP, owner, 0}
  for _, id in ipairs(ids) do order[#order + 1] = id end
  order[#order + 1] = 'JUSTID'
  call(unpack(order))
end

-- gives back what a consumer holds, except what is in keep: that is its heir's from now on
local function give_back(q, consumer, died, keep, heir)
  local stream, from, moved = key(q, 'stream'), '-', 0
  while true do
    local some = redis.pcall('XPENDING', stream, GROUP, from, '+', 500, consumer)
    if some.err or #some == 0 then break end
    local ids, kept = {}, {}
    for _, one in ipairs(some) do
      if keep and keep[one[1]] then
        kept[#kept + 1] = one[1]
      elseif died and call('HINCRBY', key(q, 'deaths'), one[1], 1) > MAX_DEATHS then
        put_aside(q, one[1], (MAX_DEATHS + 1) .. ' consumers died or lost their connection while they held it')
      else
        ids[#ids + 1] = one[1]
      end
    end
    hand(heir, q, kept)
    hand(BACK, q, ids)
    moved = moved + #ids
    from = '(' .. some[#some][1]
  end
  redis.pcall('XGROUP', 'DELCONSUMER', stream, GROUP, consumer)
  call('ZREM', key(q, 'takers'), consumer)
  call('ZREM', key(q, 'putters'), consumer)
  if moved > 0 then tell('takers', q, 'back') end
end

local function forget(consumer)
  call('ZREM', P .. ':beats', consumer)
  call('SREM', P .. ':consumers', consumer)
end
"""


def _script(text: str, *parts: str) -> str:
    lines = (line.partition("--")[0].strip() for line in "".join((_LIMITS, _COMMON, *parts, text)).splitlines())
    return "\n".join(line for line in lines if line)  # one of them is sent each time


def _mover(text: str) -> str:
    return _script(text, _MOVING)


PUT = _script("""
-- queue, consumer, max_messages, max_bytes, wait, size...  ->  {how many stay, ever put, state, what we are told}
-- In one transaction after the XADDs of these sizes: what goes beyond the bounds is taken out before anybody saw it.
local q, max_messages, max_bytes, offered = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), #ARGV - 5
local stream, count = key(q, 'stream'), key(q, 'count')
ME, TOLD = ARGV[2], {}
call('HDEL', count, '')  -- a first write that memory cannot refuse: those after it pass at maxmemory too
local waiting, bytes, done, size = call('XLEN', stream) - offered - pending(q), bytes_of(q), 0, 0
for i = 6, #ARGV do
  local one = tonumber(ARGV[i])
  if waiting + done >= max_messages or (bytes + size > 0 and bytes + size + one > max_bytes) then break end
  done, size = done + 1, size + one
end
if done < offered then
  for _, entry in ipairs(call('XREVRANGE', stream, '+', '-', 'COUNT', offered - done)) do
    call('XDEL', stream, entry[1])
  end
  if ARGV[5] == '1' then stand('putters', q, ARGV[2]) end
end
call('HINCRBY', count, 'bytes', size)
local ever = call('HINCRBY', count, 'put', done)
local now = state(q, max_messages, max_bytes)
message_came(q, now)
if done == offered then room_came(q, now, max_messages, max_bytes) end
return {done, ever, now, TOLD}
""")

ROOM = _script("""
-- queue, consumer, max_messages, max_bytes, bytes  ->  state; without room for a message of that size the consumer is
-- told when some comes
local q = ARGV[1]
local now = state(q, ARGV[3], ARGV[4])
if now[1] > 0 and (now[4] == 0 or now[4] + ARGV[5] <= tonumber(ARGV[4])) then
  room_came(q, now, ARGV[3], ARGV[4])
else
  stand('putters', q, ARGV[2])
end
return now
""")

TAKE = _script("""
-- queue, consumer, max_messages, max_bytes, limit, byte budget, wait
-- ->  {state, entries that were delivered before, how often, new entries}
local q, me, limit, wait = ARGV[1], ARGV[2], tonumber(ARGV[5]), ARGV[7]
if call('SISMEMBER', P .. ':consumers', me) == 0 then return redis.error_reply('GONE this consumer is not known') end
local stream = key(q, 'stream')
local before = state(q, ARGV[3], ARGV[4])
if before[5] > 0 then
  limit = math.min(limit, math.max(1, math.floor(ARGV[6] * before[5] / math.max(1, before[4]))))
end
local again, counts, fresh, alone = {}, {}, {}, false
if before[3] > 0 then
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
if taken < limit and taken == before[3] and not alone then
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
local now = state(q, ARGV[3], ARGV[4])
message_came(q, now)
room_came(q, now, ARGV[3], ARGV[4])
return {now, again, counts, fresh}
""")

AFTER = _script("""
-- queue, max_messages, max_bytes  ->  state; after messages were taken by a plain XREADGROUP, or left to the next
local now = state(ARGV[1], ARGV[2], ARGV[3])
message_came(ARGV[1], now)
room_came(ARGV[1], now, ARGV[2], ARGV[3])
return now
""")

ACK = _script("""
-- queue, consumer, max_messages, max_bytes, bytes of all, "bytes bytes ..." of each, id...  ->  state
local q = ARGV[1]
local stream, deaths = key(q, 'stream'), key(q, 'deaths')
if call('SISMEMBER', P .. ':consumers', ARGV[2]) == 1 then
  local ids, freed = {unpack(ARGV, 7)}, tonumber(ARGV[5])
  if call('XACK', stream, GROUP, unpack(ids)) == #ids then
    call('XDEL', stream, unpack(ids))
  else  -- the queue was purged meanwhile: what is not in it any more frees nothing
    local i = 0
    freed = 0
    for size in string.gmatch(ARGV[6], '%d+') do
      i = i + 1
      freed = freed + call('XDEL', stream, ids[i]) * size
    end
  end
  if call('EXISTS', deaths) == 1 then call('HDEL', deaths, unpack(ids)) end
  if freed > 0 then call('HINCRBY', key(q, 'count'), 'bytes', -freed) end
end
local now = state(q, ARGV[3], ARGV[4])
room_came(q, now, ARGV[3], ARGV[4])
return now
""")

NACK = _mover("""
-- queue, consumer, id...
if call('SISMEMBER', P .. ':consumers', ARGV[2]) == 0 then return end
hand(BACK, ARGV[1], {unpack(ARGV, 3)})
tell('takers', ARGV[1], 'back')
""")

REJECT = _mover("""
-- queue, consumer, max_messages, max_bytes, reason, id...  ->  state
local q = ARGV[1]
if call('SISMEMBER', P .. ':consumers', ARGV[2]) == 1 then
  for i = 6, #ARGV do put_aside(q, ARGV[i], ARGV[5]) end
end
local now = state(q, ARGV[3], ARGV[4])
room_came(q, now, ARGV[3], ARGV[4])
return now
""")

DEAD = _script("""
-- queue, limit  ->  entries, newest first
return call('XREVRANGE', key(ARGV[1], 'dead'), '+', '-', 'COUNT', ARGV[2])
""")

FLOWS = _script("""
-- queue... (none: all)  ->  (name, messages, bytes, unacked, put, dead)...
local names, found = ARGV, {}
if #names == 0 then names = call('SMEMBERS', P .. ':queues') end
for _, q in ipairs(names) do
  local held = pending(q)
  local put = tonumber(call('HGET', key(q, 'count'), 'put') or 0)
  found[#found + 1] = {q, call('XLEN', key(q, 'stream')), bytes_of(q), held, put, call('XLEN', key(q, 'dead'))}
end
return found
""")

PURGE = _script("""
-- queue, max_messages, max_bytes  ->  how many messages
local q = ARGV[1]
local stream = key(q, 'stream')
local dropped = call('XLEN', stream)
call('DEL', stream, key(q, 'deaths'))
call('HSET', key(q, 'count'), 'bytes', 0)
room_came(q, state(q, ARGV[2], ARGV[3]), ARGV[2], ARGV[3])
return dropped
""")

GREET = _mover("""
-- consumer, what it was called on its last connection or "", epoch to make, (queue, ever put, n, id * n)...
-- ->  {1: it may go on, epoch}
local me, old, epoch = ARGV[1], ARGV[2], P .. ':epoch'
call('ZREM', P .. ':beats', '')  -- as in PUT
call('SET', epoch, ARGV[3], 'NX')
if old ~= '' and call('SISMEMBER', P .. ':consumers', old) == 0 then return {0, call('GET', epoch)} end
call('SADD', P .. ':consumers', me)
call('ZADD', P .. ':beats', now_ms(), me)
local i = 4
while i <= #ARGV do
  local q, n, keep = ARGV[i], tonumber(ARGV[i + 2]), {}
  call('SADD', P .. ':queues', q)
  if tonumber(call('HGET', key(q, 'count'), 'put') or 0) < tonumber(ARGV[i + 1]) then
    call('SET', epoch, ARGV[3])  -- this server came back with old data
  end
  for j = i + 3, i + 2 + n do keep[ARGV[j]] = true end
  if old ~= '' then give_back(q, old, false, keep, me) end
  i = i + 3 + n
end
if old ~= '' then forget(old) end
return {1, call('GET', epoch)}
""")

BEAT = _mover("""
-- consumer, epoch to make, max_messages, max_bytes, queue...  ->  {1: it is known, epoch, state...}
local me, beats, judge, time = ARGV[1], P .. ':beats', P .. ':judge', now_ms()
call('ZREM', beats, '')  -- as in PUT
call('SET', P .. ':epoch', ARGV[2], 'NX')
if call('SISMEMBER', P .. ':consumers', me) == 0 then return {0, call('GET', P .. ':epoch')} end
call('ZADD', beats, time, me)
local seen = call('HMGET', judge, 'last', 'looked', 'grace')
if seen[1] and time - seen[1] > GONE_AFTER then  -- nobody was heard: it was the server that was away
  seen[3] = time + GRACE
  call('HSET', judge, 'grace', seen[3])
end
call('HSET', judge, 'last', time)
if time >= tonumber(seen[3] or 0) and time - tonumber(seen[2] or 0) >= 400 then
  local queues = call('SMEMBERS', P .. ':queues')
  call('HSET', judge, 'looked', time)
  for _, other in ipairs(call('ZRANGEBYSCORE', beats, '-inf', time - GONE_AFTER)) do
    local age = time - call('ZSCORE', beats, other)
    if age > SILENT_AFTER or call('PUBSUB', 'NUMSUB', P .. ':wake:' .. other)[2] == 0 then
      forget(other)
      for _, q in ipairs(queues) do give_back(q, other, true) end
    end
  end
  for _, q in ipairs(queues) do  -- what was read over a connection that had been given up
    local held = redis.pcall('XPENDING', key(q, 'stream'), GROUP)
    if not held.err and held[1] > 0 then
      for _, one in ipairs(held[4]) do
        if one[1] ~= BACK and not call('ZSCORE', beats, one[1]) then give_back(q, one[1], true) end
      end
    end
  end
end
local answer = {1, call('GET', P .. ':epoch')}
for i = 5, #ARGV do answer[#answer + 1] = state(ARGV[i], ARGV[3], ARGV[4]) end
return answer
""")

LEAVE = _mover("""
-- consumer: gives back what it holds and goes
for _, q in ipairs(call('SMEMBERS', P .. ':queues')) do give_back(q, ARGV[1], false) end
forget(ARGV[1])
""")
