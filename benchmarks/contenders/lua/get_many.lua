--@rows
return rows(ARGV)
