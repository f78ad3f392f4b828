-- Who may read at the centre: accounts of analysts have this role as their default, and with it their rights and limits.
-- It also owns the views: unlike an administrator's account, it is not dropped when somebody leaves.
CREATE ROLE IF NOT EXISTS eventtracker_analysts
