{{ decode_changes(source('bronze', 'scheduled_payments'), key='payment_id') }}
