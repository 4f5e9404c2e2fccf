{{ config(unique_key='account_id') }}

{{ current_state(ref('base_bank__checking_account_changes'), key='account_id') }}
