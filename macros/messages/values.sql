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

{#- Whether a message holds, in place of a value, the connector's word for a large one that an update left as it was: our word, or without a
    header that names the connector's, the one that Debezium has by default. What a snapshot read is never left out. -#}
{% macro is_unavailable(raw, data_type) -%}
    {%- set in_header = forms_of_unavailable(var('debezium_unavailable_value_in_header'), data_type) -%}
    {%- set by_default = forms_of_unavailable(var('debezium_unavailable_value'), data_type) -%}
    {%- if not by_default -%}
        false
    {%- else -%}
        coalesce(
            {{ raw }} in ({{ in_header }})
            or (_unavailable_value is null and _message.op <> 'r' and {{ raw }} in ({{ by_default }})),
            false
        )
    {%- endif -%}
{%- endmacro %}

{#- Each form in which Debezium writes its placeholder in a column of this type: SQL expressions, or nothing. -#}
{% macro forms_of_unavailable(word, data_type) -%}
    {%- set type = data_type | lower | replace(' ', '') -%}
    {%- set base64 = "base64(cast('" ~ word ~ "' as binary))" -%}
    {%- if type == 'string' -%}
        {#- The second is an hstore. -#}
        '{{ word }}', '{"{{ word }}":"{{ word }}"}'
    {%- elif type.startswith('decimal(') -%}
        '{{ word }}'
    {%- elif type == 'binary' -%}
        {#- The first where binary.handling.mode is hex. -#}
        '{{ word }}', {{ base64 }}
    {%- elif type == 'array<string>' -%}
        {#- The second is an array of uuid: Java's nameUUIDFromBytes, an MD5 with version and variant set. -#}
        {%- set md5 = local_md5(word) -%}
        {%- set variant = '89ab'[md5[16] | int(base=16) % 4] -%}
        {%- set uuid = [md5[:8], md5[8:12], '3' ~ md5[13:16], variant ~ md5[17:20], md5[20:]] | join('-') -%}
        '["{{ word }}"]', '["{{ uuid }}"]'
    {%- elif type == 'array<binary>' -%}
        '["{{ word }}"]', concat('["', {{ base64 }}, '"]')
    {%- elif type in ('array<int>', 'array<bigint>', 'array<date>') -%}
        {#- The numbers of its letters, also for dates where they are numbers. -#}
        concat('[', array_join(transform(split('{{ word }}', ''), letter -> ascii(letter)), ','), ']')
    {%- endif -%}
{%- endmacro %}

{#- Whether, in a column of this type, Debezium writes NULL in place of a large value that an update left as it was. -#}
{% macro may_hide_unavailable(data_type) -%}
    {%- set type = data_type | lower | replace(' ', '') -%}
    {{ return(
        type.startswith('array<') and type not in ('array<int>', 'array<bigint>', 'array<string>')
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
    {%- set type = 'decimal(' ~ precision ~ ', ' ~ places ~ ')' -%}
    {%- set source_scale = 'coalesce(try_cast(' ~ scale ~ ' as smallint), cast(' ~ places ~ ' as smallint))' -%}
    {#- A whole number by decimal.format=NUMERIC may look like bytes in base64. -#}
    {%- set is_either = source_scale ~ " = 0 and " ~ raw ~ " rlike '^[1-9][0-9]*$'" -%}
    case
        {%- if mode == 'string' %}
        {#- Most values: text with just the places of the type. #}
        when
            coalesce({{ logical_type }}, 'string') = 'string'
            {%- if places > 0 %}
            and substr({{ raw }}, -{{ places + 1 }}, 1) = '.'
            and not contains({{ raw }}, 'E')
            {%- else %}
            and {{ raw }} = cast(try_cast({{ raw }} as {{ type }}) as string)
            {%- endif %}
            then try_cast({{ raw }} as {{ type }})
        {%- endif %}
        when
            coalesce({{ logical_type }}, 'string')
            in ('string', 'int16', 'int32', 'int64', 'double', '{{ decimal }}', '{{ variable }}')
            then {#- A transform of an array of one names what is in it. #} transform(
                array(
                    case
                        when
                            coalesce({{ logical_type }}, '{{ decimal if mode == 'precise' else 'string' }}') = '{{ decimal }}'
                            and length({{ raw }}) % 4 = 0
                            and {{ raw }} rlike '^[A-Za-z0-9+/]+={0,2}$'
                            {{- ' and not (' ~ is_either ~ ')' if var('connect_decimal_format') == 'numeric' }}
                            or {{ raw }} like '{"%'
                            then {{ number_of_bytes(
                                "case when " ~ raw ~ " like '{\"%' then from_json(" ~ raw ~ ", 'value string, scale smallint')"
                                ~ (" when " ~ is_either ~ " then null" if var('connect_decimal_format') not in ('base64', 'numeric') else "")
                                ~ " else struct(" ~ raw ~ " as value, " ~ source_scale ~ " as scale) end"
                            ) }}
                        when
                            {{ raw }} rlike '^-?[0-9]+([.][0-9]+)?(E-?[0-9]{1,3})?$'
                            {#- from_json reads a number with a point as a double. Such tells a decimal of up to 15 digits apart from all
                                others. #}
                            and (
                                {{ raw }} not like '%.%'
                                or {{ raw }} not like '%E%'
                                and coalesce({{ logical_type }}, '{{ 'string' if mode == 'string' else 'double' }}') = 'string'
                                or abs(try_cast({{ raw }} as double)) < 1e{{ 15 - places }}d
                            )
                            then {{ raw }}
                    end
                ),
                number -> case when {{ places_of('number') }} <= {{ places }} then try_cast(number as {{ type }}) end
            )[0]
    end
{%- endmacro %}

{#- A number as text, with an exponent, from a struct of its scale and its unscaled value: a big-endian two's complement in base64. -#}
{% macro number_of_bytes(coded) -%}
    {%- set high = 'cast(conv(left(coded.bits, 16), 16, 10) as decimal(20, 0))' -%}
    {%- set low = 'cast(conv(right(coded.bits, 16), 16, 10) as decimal(20, 0))' -%}
    transform(
        transform(
            transform(
                array({{ coded }}),
                coded -> struct(hex(try_to_binary(coded.value, 'base64')) as digits, cast(coded.scale as int) as scale)
            ),
            coded -> struct(
                case
                    when length(coded.digits) between 2 and 32
                        then lpad(coded.digits, 32, if(coded.digits >= '8', 'F', '0'))
                end as bits,
                coded.scale as scale
            )
        ),
        coded -> concat(
            cast(
                case
                    {#- Both halves of a negative number are counted from above: 38 digits would not hold what lies between. #}
                    when coded.bits >= '8'
                        then try_add(
                            try_multiply({{ high }} - 18446744073709551615, 18446744073709551616),
                            {{ low }} - 18446744073709551616
                        )
                    else try_add(try_multiply({{ high }}, 18446744073709551616), {{ low }})
                end as string
            ),
            'E',
            cast(-coded.scale as string)
        )
    )[0]
{%- endmacro %}

{#- How many digits after the point a number needs, which is written as text, with or without an exponent. -#}
{% macro places_of(number) -%}
    {%- set digits = "regexp_replace(" ~ number ~ ", '^-|[.]|E.*$', '')" -%}
    if(
        trim(both '0' from {{ digits }}) = '',
        0,
        length(trim(trailing '0' from {{ digits }}))
        - length(regexp_extract({{ number }}, '^-?([0-9]+)', 1))
        - coalesce(try_cast(regexp_extract({{ number }}, 'E(.+)$', 1) as int), 0)
    )
{%- endmacro %}

{#- Text as it is, unless the schema tells that it is the code of something else; a time of day as isostring writes it. -#}
{% macro decode_string(raw, logical_type, options) -%}
    {%- set unit = options.get('unit') -%}
    case
        {%- if unit %}
        when {{ logical_type }} is null and {{ raw }} rlike '^[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?Z$' then {{ raw }}
        {%- else %}
        when {{ logical_type }} is null then {{ raw }}
        {%- endif %}
        when
            {{ logical_type }} rlike '^([a-z0-9]+|io[.]debezium[.](data[.].+|time[.](Zoned|Iso|Interval).*))$'
            and {{ logical_type }} not in ('bytes', 'io.debezium.data.Bits', 'io.debezium.data.VariableScaleDecimal')
            then {{ raw }}
        else transform({{ micros_of(raw, logical_type, 'Time', unit) }}, micros -> {{ time_of_day('micros') }})[0]
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
        when {{ raw }} rlike '^-?[0-9]+$'
            then transform(
                {{ micros_of(raw, logical_type, 'Timestamp', unit) }},
                {#- From Postgres's first moment to less than its infinity. #}
                micros -> case
                    when micros between -210866803200000000 and 9223372036854775806
                        then {{ timestamp_of_micros('micros', type) }}
                end
            )[0]
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

{#- Microseconds that a number tells, by the schema's name for it, else by a unit, as an array of one; NULL in it where neither is known
    or there is a rest. `kind` is Timestamp or Time, as in the names. -#}
{% macro micros_of(raw, logical_type, kind, unit) -%}
    {%- set micros = {
        'milliseconds': 'try_multiply(number, 1000)',
        'microseconds': 'number',
        'nanoseconds': 'case when number % 1000 = 0 then number div 1000 end',
    } -%}
    {%- if unit and unit not in micros -%}
        {{ exceptions.raise_compiler_error("unit is one of milliseconds, microseconds and nanoseconds, not " ~ unit) }}
    {%- endif -%}
    transform(
        array(try_cast({{ raw }} as bigint)),
        number -> case
            when {{ logical_type }} in ('io.debezium.time.{{ kind }}', 'org.apache.kafka.connect.data.{{ kind }}')
                then {{ micros['milliseconds'] }}
            when {{ logical_type }} = 'io.debezium.time.Micro{{ kind }}' then {{ micros['microseconds'] }}
            when {{ logical_type }} = 'io.debezium.time.Nano{{ kind }}' then {{ micros['nanoseconds'] }}
            {%- if unit %}
            when {{ logical_type }} is null then {{ micros[unit] }}
            {%- endif %}
        end
    )
{%- endmacro %}

{#- A time of day, in UTC, as isostring writes it: 09:05:00Z, 09:05:00.25Z. NULL for more than a day. -#}
{% macro time_of_day(micros) -%}
    case
        when {{ micros }} between 0 and 86400000000
            then concat(
                format_string('%02d:%02d:%02d', {{ micros }} div 3600000000, {{ micros }} div 60000000 % 60, {{ micros }} div 1000000 % 60),
                trim(trailing '.' from trim(trailing '0' from format_string('.%06d', {{ micros }} % 1000000))),
                'Z'
            )
    end
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
        when length({{ standard }}) % 4 = 0 and {{ standard }} rlike '^[A-Za-z0-9+/]*={0,2}$'
            then try_to_binary({{ standard }}, 'base64')
    end
{%- endmacro %}

{#- An array of values; NULL as a whole where one of them can't be read. -#}
{% macro decode_array(raw, item_type, logical_type, scale, options) -%}
    case
        when {{ raw }} like '[%'
            then transform(
                array(
                    transform(
                        from_json({{ raw }}, 'array<string>'),
                        item -> struct(item as raw, {{ decode_value('item', item_type, logical_type, scale, options) }} as value)
                    )
                ),
                items -> case
                    when not exists(items, item -> item.raw is not null and item.value is null)
                        {%- if item_type == 'string' %}
                        {#- Debezium writes what Java calls the inner arrays, in place of them. #}
                        and not exists(items, item -> coalesce(item.raw like '[Ljava.%;@%', false))
                        {%- endif %}
                        then transform(items, item -> item.value)
                end
            )[0]
    end
{%- endmacro %}
