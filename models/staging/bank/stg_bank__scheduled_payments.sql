{{ config(materialized='view') }}

{{ current_versions(ref('scheduled_payments_history')) }}
