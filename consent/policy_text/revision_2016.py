"""The text as revised on 22 February 2016, the only wording that is known; the first of 2010 is not reconstructed.

Once published the text is frozen: a better wording is a new revision in a module of its own.
"""

from datetime import date

from consent.policy_text.clause import Clause, clause

ESTABLISHED = date(2010, 6, 10)
REVISED = date(2016, 2, 22)

CLAUSES: tuple[Clause, ...] = (
    clause(
        "P0",
        "前文",
        "Preamble",
        (
            "P0_1",
            "本プライバシーポリシー（以下「本ポリシー」といいます）は会員規約の一部をなし、"
            "本ポリシーで用いる用語の意味は、会員規約の定義によります。",
            "This privacy policy is part of the member terms, and its words have the meanings defined there.",
        ),
        (
            "P0_2",
            "法令または当社の方針の変更により本ポリシーを改める場合は、会員規約第18条（規約の変更）の手続によります。",
            "Where this policy changes because the law or the company's own policy has changed, the change follows "
            "Article 18 of the member terms, which governs their amendment.",
        ),
        (
            "P0_3",
            "最新の本ポリシーは、いつでもご覧いただけます。",
            "The newest text of this policy can be read at any time.",
        ),
        (
            "P0_4",
            "当社は、会員の同意を得ることなく、すでに収集した個人情報の保護を弱める変更を行いません。",
            "Without the member's consent, no change loosens the protection of personal information already collected.",
        ),
    ),
    clause(
        "P1",
        "個人情報の収集への同意",
        "Consent to collection",
        (
            "P1_1",
            "当サイトを利用された方は、本ポリシーに従った個人情報の収集に同意したものとみなします。",
            "Whoever uses this site is taken to agree to the collection of personal information under this policy.",
        ),
    ),
    clause(
        "P2",
        "収集する項目と利用目的",
        "Items collected and purposes of use",
        (
            "P2_1",
            "当社が収集する個人情報の項目は、"
            "（1）氏名（フリガナを含む）、ログインIDおよびパスワード、"
            "（2）電子メールアドレス、携帯電話のメールアドレスおよび電話番号（携帯電話とFAXの番号を含む）、"
            "（3）受取人の氏名、住所および電話番号、"
            "（4）クレジットカードの情報、銀行口座の情報および決済に用いる携帯電話番号、"
            "（5）生年月日、性別その他会員に関する情報です。",
            "The company collects these items of personal information: "
            "(1) name (its kana included), login ID and password; "
            "(2) e-mail address, mobile e-mail address and telephone numbers (mobile and fax included); "
            "(3) names, addresses and telephone numbers of addressees; "
            "(4) credit card, bank account, and the mobile telephone number used for payment; "
            "(5) date of birth, sex and other facts about the member.",
        ),
        (
            "P2_2",
            "個人情報の利用目的は、"
            "（1）本人の確認、"
            "（2）取引の履行、"
            "（3）苦情への対応、"
            "（4）必要な事項の告知、"
            "（5）商品、サービスまたは景品の届け先の確認、"
            "（6）代金の決済、"
            "（7）決済代行会社との契約の履行、"
            "（8）会員の特性に応じたサービスの提供、"
            "（9）取引に関するお客様への対応、"
            "（10）新しい商品およびサービスのご案内です。",
            "Personal information is used for these purposes: "
            "(1) confirming identity; "
            "(2) carrying out transactions; "
            "(3) answering complaints; "
            "(4) giving necessary notices; "
            "(5) confirming where goods, services or prizes go; "
            "(6) settling payments; "
            "(7) keeping the contracts with settlement agencies; "
            "(8) providing services fitted to the member's traits; "
            "(9) serving customers about their transactions; "
            "(10) presenting new goods and services.",
        ),
        (
            "P2_3",
            "当社は、これらの項目および利用目的の範囲を超えて、個人情報を利用せず、第三者に提供しません。",
            "The company neither uses personal information nor hands it on outside these items and purposes.",
        ),
    ),
    clause(
        "P3",
        "クッキー（Cookie）",
        "Cookies",
        (
            "P3_1",
            "クッキーは、利用者のコンピューターを識別するものであり、利用者個人を識別するものではありません。",
            "A cookie identifies the user's computer, not the user as a person.",
        ),
        (
            "P3_2",
            "利用者は、ブラウザーの設定により、すべてのクッキーを受け入れること、"
            "クッキーを受け取るたびに通知を受けること、すべてのクッキーを拒否することのいずれかを選べます。",
            "Through the settings of the browser the user may accept all cookies, be told each time one arrives, "
            "or refuse them all.",
        ),
        (
            "P3_3",
            "クッキーを拒否された場合は、一部のサービスをご利用いただけないことがあります。",
            "Where cookies are refused, some services may not be available.",
        ),
    ),
    clause(
        "P4",
        "目的外の利用と第三者提供",
        "Use beyond the purposes, and provision to third parties",
        (
            "P4_A1",
            "当社は、原則として、第2条の範囲を超えて個人情報を利用せず、また、いかなる第三者にも提供しません。",
            "As a rule the company does not use personal information beyond the scope of clause 2, "
            "and provides it to nobody.",
        ),
        (
            "P4_B1",
            "当社は、業務を円滑に進め、よりよいサービスを提供するため、"
            "適正な手続により個人情報の取扱いを外部に委託することがあります。"
            "会員はこの委託に同意したものとみなしますが、"
            "当社は、委託する個人情報の範囲、委託の期間などを必ず詳しく告知します。",
            "To run its business smoothly and to serve better, the company may by due procedure engage others to "
            "handle personal information. Members are taken to agree to this, but the company always announces it in "
            "detail: the scope of the data, the period, and so on.",
        ),
        (
            "P4_B2",
            "事業の譲渡に伴い、適正な手続により個人情報を移転する場合は、"
            "事前に告知し、同意するか同意を撤回するかを会員ごとに選んでいただきます。",
            "Where personal information moves by due procedure with a transfer of the business, this is announced "
            "beforehand, and each member is given the choice to consent or to withdraw consent.",
        ),
        (
            "P4_C1",
            "法令に特別の定めがある場合は、会員の同意を得ずに個人情報を利用し、または提供することがあります。",
            "Where the law has a special provision, personal information may be used or provided without consent.",
        ),
        (
            "P4_C2",
            "料金の精算に必要な場合は、会員の同意を得ずに個人情報を利用し、または提供することがあります。",
            "Where it is needed to settle charges, personal information may be used or provided without consent.",
        ),
        (
            "P4_C3",
            "取引の当事者の間で連絡、取引および配送を円滑に行うために必要な情報は、"
            "会員の同意を得ずに利用し、または当事者の一方から他方へ相互に提供することがあります。",
            "Between the parties of a transaction, and in either direction, what smooth communication, trade and "
            "delivery need may be used or provided without consent.",
        ),
    ),
    clause(
        "P5",
        "個人情報の閲覧と訂正",
        "Seeing and correcting personal information",
        (
            "P5_A1",
            "会員は、マイページで、または書面、電話、FAXもしくは電子メールで"
            "お客様センターもしくは個人情報管理責任者に申し出ることにより、"
            "ご自身の個人情報を閲覧し、訂正することができます。",
            "Members may see and correct their own personal information on My Page, or through the customer centre or "
            "the privacy manager by letter, telephone, fax or e-mail.",
        ),
        (
            "P5_A2",
            "ただし、氏名、IDなどは訂正することができません。",
            "The name, the ID and the like, however, cannot be corrected.",
        ),
        (
            "P5_B1",
            "訂正の申出を受けた個人情報は、訂正が完了するまで利用せず、提供もしません。",
            "Once a correction has been asked for, the information is neither used nor provided until it is corrected.",
        ),
        (
            "P5_B2",
            "すでに第三者に提供した個人情報は、可能な限り、提供先においても訂正されるようにします。",
            "Information already provided to third parties is corrected there too, as far as possible.",
        ),
        (
            "P5_B3",
            "訂正は、それが完了した時から適用されます。",
            "A correction applies from the moment it is completed.",
        ),
    ),
    clause(
        "P6",
        "同意撤回",
        "Withdrawing consent",
        (
            "P6_A1",
            "会員は、個人情報の収集、利用または提供についての同意を、第5条Aと同じ方法により、"
            "いつでも撤回することができます。",
            "Members may withdraw their consent to collection, to use or to provision at any time, "
            "through the same channels as in clause 5.A.",
        ),
        (
            "P6_B1",
            "同意撤回は、サイトの会員ページでも行うことができます。",
            "Consent can also be withdrawn on the site's own member page.",
        ),
        (
            "P6_B2",
            "個人情報の削除その他の措置には、別に定める手数料がかかります。",
            "Deletion and other measures are carried out against a fee that is set elsewhere.",
        ),
        (
            "P6_C1",
            "第4条Cに当たる場合は、必要な限度で、同意撤回は認められません。",
            "Where clause 4.C applies, consent cannot be withdrawn to the extent that is needed.",
        ),
    ),
    clause(
        "P7",
        "保有期間、利用期間と破棄",
        "Retention, period of use and destruction",
        (
            "P7_A0",
            "当社は、個人情報を項目ごとに利用目的に必要な期間に限って保有し、"
            "利用目的が達成され、または失われたときは、遅滞なく破棄するとともに、"
            "提供先の第三者にも破棄させます。",
            "Each datum is kept only as long as its purpose needs; when the purpose is achieved or gone, the datum is "
            "destroyed without delay, and the third parties who hold it are made to destroy it.",
        ),
        (
            "P7_A1",
            "ただし、法令が保存を求める場合は、法令の定める期間、取引の内容と必要最小限の基本情報を保有します。",
            "Where the law demands it, however, transaction details and the least basic information are kept for the "
            "period of that law.",
        ),
        (
            "P7_A2",
            "また、告知した期間または会員から個別に同意を得た期間があるときは、その期間保有します。",
            "Where a period was announced or agreed with the member individually, information is kept for that period.",
        ),
        (
            "P7_A3",
            "これらの場合は、当社およびその委託先が個人情報を保有します。",
            "In these cases the company and its contractors keep the information.",
        ),
        (
            "P7_B1",
            "紙に記録された個人情報は、裁断または焼却により破棄します。",
            "Personal information on paper is shredded or burnt.",
        ),
        (
            "P7_B2",
            "電子ファイルに記録された個人情報は、記録を再現できない方法により削除します。",
            "Personal information in electronic files is deleted in such a way that the record cannot be reproduced.",
        ),
    ),
    clause(
        "P8",
        "正確性の確保と、紛失、盗難、漏えい、改ざん、毀損を防ぐ安全管理",
        "Accuracy, and safety against loss, theft, leak, alteration and damage",
        (
            "P8_A1",
            "当社は、ファイアウォール、侵入検知、データベースの保護、アクセス制御および24時間の監視により、"
            "個人情報を守ります。",
            "Personal information is guarded by a firewall, intrusion detection, database protection, access control "
            "and monitoring round the clock.",
        ),
        (
            "P8_A2",
            "生年月日、電話番号などをパスワードとして使えないようにする規則を設けます。",
            "Password rules refuse birthdays, telephone numbers and the like.",
        ),
        (
            "P8_A3",
            "全従業員のパソコンにウイルス対策ソフトを導入し、P2Pソフトの使用を禁じます。",
            "The PC of every employee runs antivirus software, and no P2P software is used.",
        ),
        # The protocol and the vendor are those of the published text. Members were promised these very words, so they
        # stay although both are obsolete.
        (
            "P8_A4",
            "個人情報は、VeriSign社の証明書を用いたSSLにより暗号化して伝送します。",
            "Personal information travels encrypted by SSL with a certificate of VeriSign.",
        ),
        (
            "P8_B1",
            "個人情報に接する者は、利用者に直接対応する者（お客様センターやマーケティングの担当者）、"
            "個人情報管理責任者と個人情報管理の担当者、"
            "その他業務上接することがやむを得ない者に限り、最小限の人数とします。",
            "Access is limited to the fewest people: those who deal with users directly (agents and marketing), the "
            "privacy manager and the privacy staff, and others who cannot do their work without it.",
        ),
        (
            "P8_B2",
            "退職または異動の際は直ちにアクセス権限を失効させ、また、定期的に教育を行います。",
            "Access ends at once when a person leaves or moves, and training is given regularly.",
        ),
        (
            "P8_B3",
            "全従業員から情報保護の誓約書を受け取り、従業員による漏えいを未然に防ぐ社内の仕組みを設け、"
            "定期的に点検します。",
            "All employees sign a security pledge, in-house systems prevent leaks by staff beforehand, and inspections "
            "are held regularly.",
        ),
        (
            "P8_B4",
            "業務の引継ぎは安全を保ったまま行い、入社後および退職後に起きた事故の責任を明らかにします。",
            "Work is handed over with security kept throughout, and responsibility for incidents after joining and "
            "after leaving the company is made clear.",
        ),
    ),
    clause(
        "P9",
        "リンク先のサイト",
        "Linked sites",
        (
            "P9_1",
            "当サイトからリンクする他のサイトは、それぞれのプライバシーポリシーを定めています。",
            "Other sites to which this site links have their own privacy policies.",
        ),
        (
            "P9_2",
            "リンク先のサイトについて、当社は責任を負いません。",
            "The company does not answer for linked sites.",
        ),
    ),
    clause(
        "P10",
        "会員にご注意いただきたいこと",
        "What members must mind",
        (
            "P10_A1",
            "当社が電話やメールで会員のパスワードをお尋ねすることは、決してありません。",
            "The company never asks for a member's password by telephone or mail.",
        ),
        (
            "P10_A2",
            "電話やメールでパスワードを尋ねられたときは、お客様センターまたは個人情報管理責任者にお知らせください。",
            "A member who is asked for it in this way should tell the customer centre or the privacy manager.",
        ),
        (
            "P10_B1",
            "ご利用後は、ログアウトし、ブラウザーを閉じてください。",
            "After using the site, please log out and close the browser.",
        ),
        (
            "P10_C1",
            "ご自身の個人情報は、常に最新の内容に保ってください。",
            "Please keep your personal information current.",
        ),
        (
            "P10_D1",
            "他人の個人情報を使った会員は会員資格を失い、刑事上の責任を問われることもあります。",
            "Whoever uses the personal information of another loses membership and may be prosecuted.",
        ),
    ),
    clause(
        "P11",
        "広告の送信",
        "Advertising",
        (
            "P11_1",
            "当社は、明示の受信拒否に反して広告を送信しません。",
            "No advertising is sent against an expressed refusal.",
        ),
        (
            "P11_2",
            "会員は、いつでも広告の受信を拒否することができます。",
            "Members may refuse advertising at any time.",
        ),
        (
            "P11_3",
            "受信拒否の申出を受けたときは、速やかに送信を停止し、その旨を会員に通知します。",
            "Once it is refused, advertising is stopped promptly and the member is told so.",
        ),
        (
            "P11_4",
            "広告とは、第2条の利用目的（8）および（10）のために営利目的で送る情報をいい、"
            "利用目的（4）の告知は広告に当たりません。",
            "Advertising means messages sent for profit for purposes (8) and (10) of clause 2; "
            "notices for purpose (4) never are advertising.",
        ),
    ),
    clause(
        "P12",
        "管理の体制とお問い合わせ窓口",
        "Who manages personal information, and the window for inquiries",
        (
            "P12_1",
            "個人情報はシンガポールで管理し、韓国および日本の事務所がこれを補助します。",
            "Personal information is managed in Singapore, with the help of the offices in Korea and Japan.",
        ),
        (
            "P12_2",
            "個人情報に関するお問い合わせ、ご確認、苦情などは一つの窓口で承り、誠意をもってお答えします。",
            "Inquiries, confirmations, complaints and the like are received at one address and answered sincerely.",
        ),
    ),
)
