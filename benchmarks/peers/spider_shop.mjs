// spider-rs, a crawler in Rust: follows every link and keeps nothing. Says how many pages it came to.
import { Website } from '@spider-rs/spider-rs'

const website = new Website(process.env.SHOP_URL)
await website.crawl()
console.log(JSON.stringify({ pages: website.getLinks().length }))
