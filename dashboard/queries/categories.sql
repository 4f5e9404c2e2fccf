-- What transactions were for, to choose from.
select distinct category
from daily_transactions
order by category
