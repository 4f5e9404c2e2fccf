{{ config(materialized='view') }}

select explode(sequence(date '2010-01-01', add_months({{ today() }}, 24))) as date_day
