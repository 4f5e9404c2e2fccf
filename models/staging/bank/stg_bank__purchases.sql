{{ config(unique_key='purchase_id', liquid_clustered_by='purchase_id') }}

{{ current_state(ref('base_bank__purchase_changes'), key='purchase_id') }}
