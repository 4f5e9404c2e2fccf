{{ config(unique_key=['account_id', 'version_number']) }}

{{ history(ref('base_bank__checking_account_changes'), key='account_id') }}
