# layers.awk - who may include whom. Run: awk -f tools/layers.awk shared/*.[ch] ext-*/*.[ch] sidecar/*.[ch]
#
# A module may include its own header and modules of the same or a lower layer; a library's header only
# where it is listed. A module is its file name up to the first '_'.
BEGIN {
    n = split("base,late,crypto" \
        " arena,vault,buf,wire,iso" \
        " json,member,sse,wsframe,eventstream,lines,framing,url,http,regex,traits" \
        " target,schema,pii,injection,jwt,mustache,body,form,jsontext" \
        " place,near,lexical,prompt,usage,route,dialect,operation,codec,stream,textstream,tap,provider,config,price,record,request,cachekey,tokens,otel" \
        ",account,privacy,field,condition,sticky,circuit,figure,guard,limit,estimate,models,params,realtime,catalog,rates,typed,reduce" \
        " call,reply,reserve,lease,batch,prefetch,forecast,result,progress" \
        " secret,apikey,sign,token,xfer,loop,payload,spool,job,store,journal,resolve,turn,wait" \
        " writer" \
        " host", L, " ")
    for (i = 1; i <= n; i++) {
        m = split(L[i], M, ",")
        for (j = 1; j <= m; j++) layer[M[j]] = i
    }
    lib["curl/curl.h"] = "xfer"
    lib["sodium.h"] = "apikey batch forecast cachekey codec dialect job privacy secret payload sign xfer"
    lib["zstd.h"] = "payload"
    lib["pcre2.h"] = "regex"
    lib["openssl/evp.h"] = "jwt crypto"
    lib["sqlite3.h"] = "host"
    lib["sqlite3ext.h"] = "store host"
    lib["postgres.h"] = "host"
    lib["libpq-fe.h"] = "store host"
    lib["http_parser.h"] = "xfer host"
    lib["sys/epoll.h"] = "wait xfer host"
    lib["sys/socket.h"] = "xfer host"
    lib["csv.h"] = "host"
    lib["pthread.h"] = "crypto store turn xfer writer host"
}
FNR == 1 {
    module = FILENAME
    sub(/.*\//, "", module)
    sub(/\.(c|h|def)$/, "", module)
    sub(/_.*/, "", module)
    test = FILENAME ~ /_test\.c$/
    if (FILENAME ~ /^(ext-|sidecar)/) module = "host"
    mine = layer[module]
    if (!mine) { print FILENAME ": module not in the layer list of tools/layers.awk"; bad = 1 }
}
/^#include/ && !test {
    name = $2
    gsub(/[<>"]/, "", name)
    if (name in lib && (" " lib[name] " ") !~ (" " module " ")) { print FILENAME ":" FNR ": " name " is not for " module; bad = 1 }
    if ($2 !~ /^"/ || name ~ /\.def$/ || mine == n) next
    sub(/.*\//, "", name)
    sub(/\.h$/, "", name)
    sub(/_.*/, "", name)
    if (!(name in layer)) next
    if (name != module && layer[name] > mine) { print FILENAME ":" FNR ": " module " includes " name ", which is above it"; bad = 1 }
}
END { exit bad }
