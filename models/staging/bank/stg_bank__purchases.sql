{{ config(unique_key='purchase_id') }}

{{ current_state(ref('base_bank__purchase_changes'), key='purchase_id') }}
