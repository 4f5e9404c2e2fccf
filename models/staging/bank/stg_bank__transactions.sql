{{ config(unique_key='transaction_id', liquid_clustered_by='transaction_id') }}

{{ current_state(ref('base_bank__transaction_changes'), key='transaction_id') }}
