{{ config(unique_key='account_id', liquid_clustered_by='account_id') }}

{{ current_state(ref('base_bank__checking_account_changes'), key='account_id') }}
