{{ decode_changes(source('bronze', 'checking_account'), key='account_id') }}
