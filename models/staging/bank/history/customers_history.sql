{{ config(unique_key=['customer_id', 'version_number']) }}

{{ history(ref('base_bank__customer_changes'), key='customer_id') }}
