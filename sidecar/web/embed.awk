# embed.awk - a file as the bytes of a C array:  od -An -v -tx1 FILE | awk -v name=NAME -f embed.awk
BEGIN { printf "static const unsigned char web_%s[] = {\n", name }
{ for (i = 1; i <= NF; i++) printf "0x%s,", $i; print "" }
END { print "};" }
