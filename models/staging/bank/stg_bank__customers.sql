{{ config(materialized='view') }}

{{ current_versions(ref('customers_history')) }}
