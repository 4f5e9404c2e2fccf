{#- One value of a message in its declared type; NULL where it can't be read exactly. -#}
{% macro decode_value(raw, data_type, logical_type, scale, options={}) -%}
    {%- set type = data_type | lower | replace(' ', '') -%}
    {%- if type == 'boolean' -%}
        case {{ raw }} when 'true' then true when 'false' then false end
    {%- elif type in ('tinyint', 'smallint', 'int', 'bigint') -%}
        {{ decode_integer(raw, type, logical_type) }}
    {%- elif type in ('float', 'double') -%}
        {{ decode_floating(raw, type, logical_type) }}
    {%- elif type.startswith('decimal(') -%}
        {%- set precision, places = type[8:-1].split(',') -%}
        {{ decode_decimal(raw, precision | int, places | int, logical_type, scale) }}
    {%- elif type == 'string' -%}
        {{ decode_string(raw, logical_type, options) }}
    {%- elif type == 'date' -%}
        {{ decode_date(raw, logical_type) }}
    {%- elif type in ('timestamp', 'timestamp_ntz') -%}
        {{ decode_timestamp(raw, type, logical_type, options) }}
    {%- elif type == 'binary' -%}
        {{ decode_binary(raw, logical_type) }}
    {%- elif type.startswith('array<') -%}
        {{ decode_array(raw, type[6:-1], logical_type, scale, options) }}
    {%- else -%}
        {{ exceptions.raise_compiler_error('A value of type ' ~ data_type ~ ' can not be decoded (' ~ raw ~ ')') }}
    {%- endif -%}
{%- endmacro %}

{#- Whether a message holds, in place of a value, Debezium's word for a large one that an update left as it was. -#}
{% macro is_unavailable(raw, data_type) -%}
    {%- set type = data_type | lower | replace(' ', '') -%}
    {%- set placeholder = var('debezium_unavailable_value') -%}
    {%- set base64 = "base64(cast('" ~ placeholder ~ "' as binary))" -%}
    {%- if type == 'string' -%}
        {#- The second is an hstore. -#}
        coalesce({{ raw }} in ('{{ placeholder }}', '{"{{ placeholder }}":"{{ placeholder }}"}'), false)
    {%- elif type.startswith('decimal(') -%}
        coalesce({{ raw }} = '{{ placeholder }}', false)
    {%- elif type == 'binary' -%}
        {#- The first where binary.handling.mode is hex. -#}
        coalesce({{ raw }} in ('{{ placeholder }}', {{ base64 }}), false)
    {%- elif type == 'array<string>' -%}
        {#- The second is an array of uuid: Java's nameUUIDFromBytes, an MD5 with version and variant set. -#}
        {%- set md5 = local_md5(placeholder) -%}
        {%- set variant = '89ab'[md5[16] | int(base=16) % 4] -%}
        {%- set uuid = [md5[:8], md5[8:12], '3' ~ md5[13:16], variant ~ md5[17:20], md5[20:]] | join('-') -%}
        coalesce({{ raw }} in ('["{{ placeholder }}"]', '["{{ uuid }}"]'), false)
    {%- elif type == 'array<binary>' -%}
        coalesce({{ raw }} in ('["{{ placeholder }}"]', concat('["', {{ base64 }}, '"]')), false)
    {%- elif type in ('array<int>', 'array<bigint>', 'array<date>') -%}
        {#- The numbers of its letters, also for dates where they are numbers. -#}
        coalesce(
            {{ raw }} = concat('[', array_join(transform(split('{{ placeholder }}', ''), letter -> ascii(letter)), ','), ']'),
            false
        )
    {%- else -%}
        false
    {%- endif -%}
{%- endmacro %}

{#- Whether, in a column of this type, Debezium writes NULL in place of a large value that an update left as it was. -#}
{% macro may_hide_unavailable(data_type) -%}
    {%- set type = data_type | lower | replace(' ', '') -%}
    {{ return(
        type.startswith('array<') and type not in ('array<int>', 'array<bigint>')
        or type == 'binary' and var('debezium_binary_handling_mode').startswith('base64')
    ) }}
{%- endmacro %}

{#- A whole number in its type's range; written as the engine itself would write it. -#}
{% macro decode_integer(raw, type, logical_type) -%}
    case
        when {{ raw }} = cast(try_cast({{ raw }} as {{ type }}) as string)
            and coalesce({{ logical_type }}, 'string') in ('string', 'int16', 'int32', 'int64', 'io.debezium.time.MicroDuration')
            then try_cast({{ raw }} as {{ type }})
    end
{%- endmacro %}

{#- A floating number. One with more digits than the type tells apart was another type before. -#}
{% macro decode_floating(raw, type, logical_type) -%}
    {%- set number = 'try_cast(' ~ raw ~ ' as ' ~ type ~ ')' -%}
    case
        when
            coalesce({{ logical_type }}, 'string')
            not in ('string', 'int16', 'int32', 'int64', 'float'{{ ", 'double'" if type == 'double' }})
            then null
        when {{ raw }} in ('NaN', 'Infinity', '-Infinity') then {{ number }}
        when
            {{ raw }} rlike '^-?[0.]*([0-9][.]?){0,{{ 17 if type == 'double' else 9 }}}(E-?[0-9]+)?$'
            {#- Too large or too small a number would become infinity or zero without a word. #}
            and abs({{ number }}) < {{ type }}('Infinity')
            and ({{ number }} <> 0 or {{ raw }} rlike '^-?[0.]+(E.*)?$')
            then {{ number }}
    end
{%- endmacro %}

{#- A decimal that needs no rounding and fits: from text, from a number, from Debezium's bytes or from its scale and bytes. -#}
{% macro decode_decimal(raw, precision, places, logical_type, scale) -%}
    {%- set mode = var('debezium_decimal_handling_mode') -%}
    {%- set decimal = 'org.apache.kafka.connect.data.Decimal' -%}
    {%- set variable = 'io.debezium.data.VariableScaleDecimal' -%}
    {%- set source_scale = 'coalesce(try_cast(' ~ scale ~ ' as smallint), ' ~ places ~ ')' -%}
    {#- from_json reads a number with a point as a double. Such tells a decimal of up to 15 digits apart from all others. -#}
    {%- set is_exact_double = 'abs(try_cast(' ~ raw ~ ' as double)) < 1e' ~ (15 - places) ~ 'd' -%}
    case
        {%- if mode == 'string' and places > 0 %}
        {#- Most values: text with just the places of the type. #}
        when
            coalesce({{ logical_type }}, 'string') = 'string'
            and substr({{ raw }}, -{{ places + 1 }}, 1) = '.'
            and not contains({{ raw }}, 'E')
            then try_cast({{ raw }} as decimal({{ precision }}, {{ places }}))
        {%- endif %}
        when
            coalesce({{ logical_type }}, '{{ decimal if mode == 'precise' else 'string' }}') = '{{ decimal }}'
            and {{ is_base64(raw) }}
            then
                {%- set bytes = decimal_of_bytes(raw, source_scale, precision, places) %}
                {#- A whole number by decimal.format=NUMERIC can look like bytes. #}
                {%- if var('connect_decimal_format') == 'base64' %}
                {{ bytes }}
                {%- else %}
                case
                    when {{ source_scale }} <> 0 or {{ raw }} not rlike '^[1-9][0-9]*$' then {{ bytes }}
                    {%- if var('connect_decimal_format') == 'numeric' %}
                    else try_cast({{ raw }} as decimal({{ precision }}, {{ places }}))
                    {%- endif %}
                end
                {%- endif %}
        when
            coalesce({{ logical_type }}, 'string')
            not in ('string', 'int16', 'int32', 'int64', 'double', '{{ decimal }}', '{{ variable }}')
            then null
        when
            {{ raw }} rlike '^-?[0-9]+([.][0-9]{0,{{ places }}}0*)?$'
            and (
                coalesce({{ logical_type }}, '{{ 'string' if mode == 'string' else 'double' }}') not in ('double', '{{ decimal }}')
                or {{ raw }} not like '%.%'
                or {{ is_exact_double }}
            )
            then try_cast({{ raw }} as decimal({{ precision }}, {{ places }}))
        when {{ raw }} rlike '^-?[0-9]+[.][0-9]+E-?[0-9]{1,3}$' and {{ is_exact_double }}
            then {{ decimal_of_scientific(raw, precision, places) }}
        when {{ raw }} like '{"%'
            then {{ decimal_of_bytes(
                "get_json_object(" ~ raw ~ ", '$.value')",
                "try_cast(get_json_object(" ~ raw ~ ", '$.scale') as smallint)",
                precision,
                places,
            ) }}
    end
{%- endmacro %}

{#- Whether a text is base64 as Java writes it. -#}
{% macro is_base64(raw) -%}
    length({{ raw }}) % 4 = 0 and {{ raw }} rlike '^[A-Za-z0-9+/]*={0,2}$'
{%- endmacro %}

{#- The decimal whose unscaled value is a big-endian two's complement, in base64: 128 bits as two halves. -#}
{% macro decimal_of_bytes(raw, source_scale, precision, places) -%}
    {%- set high = 'cast(conv(left(bits, 16), 16, 10) as decimal(20, 0))' -%}
    {%- set low = 'cast(conv(right(bits, 16), 16, 10) as decimal(20, 0))' -%}
    {#- Each transform of an array of one names what the one before made. -#}
    transform(
        transform(
            transform(
                transform(
                    array(hex(try_to_binary({{ raw }}, 'base64'))),
                    bytes -> case
                        when length(bytes) between 2 and 32 then lpad(bytes, 32, if(bytes >= '8', 'F', '0'))
                    end
                ),
                {#- Both halves of a negative number are counted from above: 38 digits would not hold what lies between. #}
                bits -> case
                    when bits >= '8'
                        then try_add(
                            try_multiply({{ high }} - 18446744073709551615, 18446744073709551616),
                            {{ low }} - 18446744073709551616
                        )
                    else try_add(try_multiply({{ high }}, 18446744073709551616), {{ low }})
                end
            ),
            unscaled -> concat(cast(unscaled as string), 'E', cast(-cast({{ source_scale }} as int) as string))
        ),
        scientific -> {{ decimal_of_scientific('scientific', precision, places) }}
    )[0]
{%- endmacro %}

{#- A decimal written with an exponent; NULL where it has more places than the type. -#}
{% macro decimal_of_scientific(text, precision, places) -%}
    {%- set digits = "regexp_replace(" ~ text ~ ", '^-|[.]|E.*$', '')" -%}
    case
        when
            length(trim(trailing '0' from {{ digits }}))
            - length(regexp_extract({{ text }}, '^-?([0-9]+)', 1))
            - try_cast(regexp_extract({{ text }}, 'E(.*)$', 1) as int)
            <= {{ places }}
            or trim(both '0' from {{ digits }}) = ''
            then try_cast({{ text }} as decimal({{ precision }}, {{ places }}))
    end
{%- endmacro %}

{#- Text as it is, unless the schema tells that it is the code of something else; a time of day as isostring writes it. -#}
{% macro decode_string(raw, logical_type, options) -%}
    {%- set text = "nullif(" ~ raw ~ ", '" ~ var('debezium_unavailable_value') ~ "')" -%}
    {%- set unit = options.get('unit') -%}
    {%- set micros = micros_of(raw, logical_type, 'Time', unit) -%}
    case
        {%- if unit %}
        when {{ logical_type }} is null and {{ raw }} rlike '^[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?Z$' then {{ raw }}
        {%- else %}
        when {{ logical_type }} is null then {{ text }}
        {%- endif %}
        when
            {{ logical_type }} rlike '^([a-z0-9]+|io[.]debezium[.](data[.].+|time[.](Zoned|Iso|Interval).*))$'
            and {{ logical_type }} not in ('bytes', 'io.debezium.data.Bits', 'io.debezium.data.VariableScaleDecimal')
            then {{ text }}
        when {{ micros }} between 0 and 86400000000 then {{ time_of_day(micros) }}
    end
{%- endmacro %}

{#- A day, from ISO text, days since 1970 or Debezium's parts. Postgres's infinity lies beyond its own range. -#}
{% macro decode_date(raw, logical_type) -%}
    case
        {#- Most values: cheaper to tell than by the expression after it. #}
        when length({{ raw }}) = 11 and endswith({{ raw }}, 'Z') and substr({{ raw }}, 5, 1) = '-' and substr({{ raw }}, 8, 1) = '-'
            then try_cast(left({{ raw }}, 10) as date)
        when {{ raw }} rlike '^[+-]?[0-9]{4,6}-[0-9]{2}-[0-9]{2}Z?$'
            then try_cast(trim(trailing 'Z' from {{ raw }}) as date)
        when
            {{ raw }} rlike '^-?[0-9]+$'
            and try_cast({{ raw }} as int) between -2440588 and 2145042905
            and coalesce({{ logical_type }}, '') in ('', 'io.debezium.time.Date', 'org.apache.kafka.connect.data.Date')
            then date_from_unix_date(try_cast({{ raw }} as int))
        when {{ raw }} like '{"year":%'
            then transform(
                array(from_json({{ raw }}, 'year int, month int, day int')),
                part -> try_cast(
                    format_string('%s%04d-%02d-%02d', if(part.year < 0, '-', ''), abs(cast(part.year as bigint)), part.month, part.day) as date
                )
            )[0]
    end
{%- endmacro %}

{#- An instant, or without a zone what the clock shows in UTC, from ISO text, from a number whose unit is known, or from parts. -#}
{% macro decode_timestamp(raw, type, logical_type, options) -%}
    {%- set unit = options.get('unit') or {
        'connect': 'milliseconds', 'microseconds': 'microseconds', 'nanoseconds': 'nanoseconds'
    }.get(var('debezium_time_precision_mode')) -%}
    case
        {#- Most values: cheaper to tell than by the expression after it. #}
        when
            length({{ raw }}) <= 27
            and endswith({{ raw }}, 'Z')
            and substr({{ raw }}, 11, 1) = 'T'
            and substr({{ raw }}, 20, 1) in ('.', 'Z')
            then {{ timestamp_of_text(raw, type) }}
        when {{ raw }} rlike '^[+-]?[0-9]{4,6}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6}0*)?Z$'
            then {{ timestamp_of_text(raw, type) }}
        {%- set micros = micros_of(raw, logical_type, 'Timestamp', unit) %}
        {#- From Postgres's first moment to less than its infinity. #}
        when {{ raw }} rlike '^-?[0-9]+$' and {{ micros }} between -210866803200000000 and 9223372036854775806
            then {{ timestamp_of_micros(micros, type) }}
        when {{ raw }} like '{"year":%' and coalesce(get_json_object({{ raw }}, '$.offsetSeconds'), '0') = '0'
            then transform(
                array(from_json(
                    {{ raw }}, 'year int, month int, day int, hour int, minute int, second int, nanos int'
                )),
                part -> case
                    when part.nanos % 1000 = 0
                        then {{ timestamp_of_text(
                            "format_string('%s%04d-%02d-%02dT%02d:%02d:%02d.%06dZ', if(part.year < 0, '-', ''), abs(cast(part.year as bigint)),"
                            ~ " part.month, part.day, part.hour, part.minute, part.second, part.nanos div 1000)",
                            type,
                        ) }}
                end
            )[0]
    end
{%- endmacro %}

{#- A timestamp from ISO text in UTC. -#}
{% macro timestamp_of_text(text, type) -%}
    {%- if type == 'timestamp' -%} try_cast({{ text }} as timestamp)
    {%- else -%} try_cast(trim(trailing 'Z' from {{ text }}) as timestamp_ntz)
    {%- endif -%}
{%- endmacro %}

{#- A timestamp from microseconds since 1970. -#}
{% macro timestamp_of_micros(micros, type) -%}
    {%- if type == 'timestamp' -%} timestamp_micros({{ micros }})
    {%- else -%} timestamp_ntz '1970-01-01' + make_dt_interval(0, 0, 0, try_cast({{ micros }} * 0.000001 as decimal(18, 6)))
    {%- endif -%}
{%- endmacro %}

{#- Microseconds that a number tells, by the schema's name for it, else by a unit; NULL where neither is known or there is a rest.
    `kind` is Timestamp or Time, as in the names. -#}
{% macro micros_of(raw, logical_type, kind, unit) -%}
    {%- set number = 'try_cast(' ~ raw ~ ' as bigint)' -%}
    {%- set micros = {
        'milliseconds': 'try_multiply(' ~ number ~ ', 1000)',
        'microseconds': number,
        'nanoseconds': 'case when ' ~ number ~ ' % 1000 = 0 then ' ~ number ~ ' div 1000 end',
    } -%}
    {%- if unit and unit not in micros -%}
        {{ exceptions.raise_compiler_error("unit is one of milliseconds, microseconds and nanoseconds, not " ~ unit) }}
    {%- endif -%}
    case
        when {{ logical_type }} in ('io.debezium.time.{{ kind }}', 'org.apache.kafka.connect.data.{{ kind }}')
            then {{ micros['milliseconds'] }}
        when {{ logical_type }} = 'io.debezium.time.Micro{{ kind }}' then {{ micros['microseconds'] }}
        when {{ logical_type }} = 'io.debezium.time.Nano{{ kind }}' then {{ micros['nanoseconds'] }}
        {%- if unit %}
        when {{ logical_type }} is null then {{ micros[unit] }}
        {%- endif %}
    end
{%- endmacro %}

{#- A time of day, in UTC, as isostring writes it: 09:05:00Z, 09:05:00.25Z. -#}
{% macro time_of_day(micros) -%}
    transform(
        array({{ micros }}),
        micros -> concat(
            format_string('%02d:%02d:%02d', micros div 3600000000, micros div 60000000 % 60, micros div 1000000 % 60),
            trim(trailing '.' from trim(trailing '0' from format_string('.%06d', micros % 1000000))),
            'Z'
        )
    )[0]
{%- endmacro %}

{#- Bytes, from base64 of either alphabet, or from hexadecimal digits. -#}
{% macro decode_binary(raw, logical_type) -%}
    {%- set mode = var('debezium_binary_handling_mode') -%}
    {%- set standard = "translate(" ~ raw ~ ", '-_', '+/')" -%}
    {%- set is_hex = raw ~ " rlike '^([0-9a-f]{2})*$'" -%}
    case
        when coalesce({{ logical_type }}, 'string') not in ('bytes', 'string', 'io.debezium.data.Bits') then null
        {%- if mode == 'hex' %}
        when coalesce({{ logical_type }}, 'string') = 'string' then case when {{ is_hex }} then try_to_binary({{ raw }}, 'hex') end
        {%- elif mode == 'bytes' %}
        {#- A schema that says string tells another mode: hexadecimal digits, unless it can't be. #}
        when {{ logical_type }} = 'string' and {{ is_hex }}
            then case when {{ raw }} = '' or length({{ raw }}) % 4 = 2 then try_to_binary({{ raw }}, 'hex') end
        {%- endif %}
        when {{ is_base64(standard) }} then try_to_binary({{ standard }}, 'base64')
    end
{%- endmacro %}

{#- An array of values; NULL as a whole where one of them can't be read. -#}
{% macro decode_array(raw, item_type, logical_type, scale, options) -%}
    {%- set items = "from_json(" ~ raw ~ ", 'array<string>')" -%}
    {%- set item = decode_value('item', item_type, logical_type, scale, options) -%}
    case
        when
            {{ raw }} like '[%'
            and not exists({{ items }}, item -> item is not null and {{ item }} is null)
            {#- Debezium writes what Java calls the inner arrays, in place of them. #}
            {%- if item_type == 'string' %}
            and not exists({{ items }}, item -> coalesce(item like '[Ljava.%;@%', false))
            {%- endif %}
            then transform({{ items }}, item -> {{ item }})
    end
{%- endmacro %}
