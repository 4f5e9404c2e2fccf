{{ config(unique_key='customer_id', liquid_clustered_by='customer_id') }}

{{ current_state(ref('base_bank__customer_changes'), key='customer_id') }}
