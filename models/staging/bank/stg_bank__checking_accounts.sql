{{ config(materialized='view') }}

{{ current_versions(ref('checking_accounts_history')) }}
