{{ config(unique_key='transaction_id') }}

{{ current_state(ref('base_bank__transaction_changes'), key='transaction_id') }}
