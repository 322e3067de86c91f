-- Read flights: a row of fields each, in the order of NAMES in by_lua.py. Begins every script that answers with flights.
local prefix = KEYS[1] .. ':r:'
local function rows(pks)
    local found = {}
    for i = 1, #pks do
        found[i] = redis.call('HMGET', prefix .. pks[i], 'id', 'carrier', 'origin', 'dest', 'dep_delay', 'arr_delay',
            'time_hour', 'tailnum', 'year', 'month', 'day', 'dep_time', 'sched_dep_time', 'arr_time', 'sched_arr_time',
            'flight', 'air_time', 'distance', 'hour', 'minute')
    end
    return found
end
