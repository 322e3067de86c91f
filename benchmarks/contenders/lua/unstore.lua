-- Delete one flight and its entries; begins every script that deletes. Returns 1, or 0 if there was none.
local function unstore(pk)
    local p = KEYS[1]
    local key = p .. ':r:' .. pk
    local old = redis.call('HMGET', key, 'carrier', 'origin', 'dest', 'tailnum', 'arr_delay')
    if not old[1] then
        return 0
    end
    redis.call('DEL', key)
    redis.call('ZREM', p .. ':k', pk)
    redis.call('SREM', p .. ':t:carrier:' .. old[1], pk)
    redis.call('SREM', p .. ':t:origin:' .. old[2], pk)
    redis.call('SREM', p .. ':t:dest:' .. old[3], pk)
    redis.call('ZREM', p .. ':i:dep_delay', pk)
    redis.call('ZREM', p .. ':i:time_hour', pk)
    if old[4] then
        redis.call('ZREM', p .. ':i:tailnum', old[4] .. '\0' .. pk)
    end
    if old[5] then
        redis.call('ZREM', p .. ':i:arr_delay', pk)
        redis.call('ZREM', p .. ':c:dest:arr_delay:' .. old[3], pk)
    end
    return 1
end
