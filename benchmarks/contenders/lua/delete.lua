--@unstore
return unstore(ARGV[1])
