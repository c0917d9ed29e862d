# SPDX-License-Identifier: MIT
"""(rule, good, key, signature, message) in hex; made by make_ed25519.py."""

EDGES = (
    (
        "honest",
        True,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "22cfd9276d2dc0e777e4ec77738c074d13cda56278d07e63363481003622c300",
        "6d6573736167652030",
    ),
    (
        "S < L",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "0fa3cf848790d23f4e81e41a5286e66113cda56278d07e63363481003622c310",
        "6d6573736167652030",
    ),
    (
        "S < L",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "fc76c5e1a1f3e497241edcbd3080c57613cda56278d07e63363481003622c320",
        "6d6573736167652030",
    ),
    (
        "S < L",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "e94abb3ebc56f7effabad3600f7aa48b13cda56278d07e63363481003622c330",
        "6d6573736167652030",
    ),
    (
        "S < L",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "d61eb19bd6b90948d157cb03ee7383a013cda56278d07e63363481003622c340",
        "6d6573736167652030",
    ),
    (
        "S < L",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "c3f2a6f8f01c1ca0a7f4c2a6cc6d62b513cda56278d07e63363481003622c350",
        "6d6573736167652030",
    ),
    (
        "S < L",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "b0c69c550b802ef87d91ba49ab6741ca13cda56278d07e63363481003622c360",
        "6d6573736167652030",
    ),
    (
        "S < L",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "9d9a92b225e34050542eb2ec896120df13cda56278d07e63363481003622c370",
        "6d6573736167652030",
    ),
    (
        "S < L",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "8a6e880f404653a82acba98f685bfff313cda56278d07e63363481003622c380",
        "6d6573736167652030",
    ),
    (
        "S < L",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "77427e6c5aa965000168a1324755de0814cda56278d07e63363481003622c390",
        "6d6573736167652030",
    ),
    (
        "S < L",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "641674c9740c7858d70499d5254fbd1d14cda56278d07e63363481003622c3a0",
        "6d6573736167652030",
    ),
    (
        "S < L",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "51ea69268f6f8ab0ada1907804499c3214cda56278d07e63363481003622c3b0",
        "6d6573736167652030",
    ),
    (
        "S < L",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "3ebe5f83a9d29c08843e881be3427b4714cda56278d07e63363481003622c3c0",
        "6d6573736167652030",
    ),
    (
        "S < L",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "2b9255e0c335af605adb7fbec13c5a5c14cda56278d07e63363481003622c3d0",
        "6d6573736167652030",
    ),
    (
        "S < L",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "18664b3dde98c1b830787761a036397114cda56278d07e63363481003622c3e0",
        "6d6573736167652030",
    ),
    (
        "S < L",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "053a419af8fbd31007156f047f30188614cda56278d07e63363481003622c3f0",
        "6d6573736167652030",
    ),
    (
        "A of small order",
        False,
        "0100000000000000000000000000000000000000000000000000000000000000",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "78377b525757b494427f89014f97d79928f3938d14eb51e20fb5dec9834eb304",
        "6d657373616765203132",
    ),
    (
        "A of small order",
        False,
        "0100000000000000000000000000000000000000000000000000000000000080",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "78377b525757b494427f89014f97d79928f3938d14eb51e20fb5dec9834eb304",
        "6d657373616765203138",
    ),
    (
        "A of small order",
        False,
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "78377b525757b494427f89014f97d79928f3938d14eb51e20fb5dec9834eb304",
        "6d657373616765203130",
    ),
    (
        "A of small order",
        False,
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "78377b525757b494427f89014f97d79928f3938d14eb51e20fb5dec9834eb304",
        "6d6573736167652037",
    ),
    (
        "R of small order",
        False,
        "f96c1be97e091ab8bf736f27bfe9f7aec0923a0f58f21010db136f764458ae1a",
        "0100000000000000000000000000000000000000000000000000000000000000"
        "96aa3d27429246a5d91e6a9f92eac1fa5498165d5b7538c2d84876c3ae917400",
        "6d6573736167652033",
    ),
    (
        "R of small order",
        False,
        "f96c1be97e091ab8bf736f27bfe9f7aec0923a0f58f21010db136f764458ae1a",
        "0100000000000000000000000000000000000000000000000000000000000080"
        "13ec0e2dd34a884fa6aeabc41586a018c40797c6085bccaec8a49386633c4f04",
        "6d6573736167652030",
    ),
    (
        "R of small order",
        False,
        "f96c1be97e091ab8bf736f27bfe9f7aec0923a0f58f21010db136f764458ae1a",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"
        "0c73e35437cbb225595c1f5e04f515bdddb523084871ea17374e1bcc5435f70b",
        "6d657373616765203132",
    ),
    (
        "R of small order",
        False,
        "f96c1be97e091ab8bf736f27bfe9f7aec0923a0f58f21010db136f764458ae1a",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
        "f6b39a94603c33c9cac9162939fcd4a9fd310ee4ad9859872de9989350786505",
        "6d6573736167652030",
    ),
    (
        "A of small order",
        False,
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "78377b525757b494427f89014f97d79928f3938d14eb51e20fb5dec9834eb304",
        "6d657373616765203133",
    ),
    (
        "A with torsion that cancels",
        True,
        "f96c1be97e091ab8bf736f27bfe9f7aec0923a0f58f21010db136f764458ae1a",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "934e8c14e65b56ca1ac4e813c6be531a17522f06e488f4753ea225dd95533e0d",
        "6d657373616765203131",
    ),
    (
        "cofactorless: A with torsion",
        False,
        "f96c1be97e091ab8bf736f27bfe9f7aec0923a0f58f21010db136f764458ae1a",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "985d29dcfcc93e2acabce98a722f745f468deeb3b29c998b482d746ff17f4003",
        "6d6573736167652030",
    ),
    (
        "cofactorless: R with torsion",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "ef836a0d11bbd2e8449b8d455c729c79d69a7e58860a2a25502f9ef0a8691399"
        "4bdc34b4eed4866f37241e5b3deadbace3eeb84bb44a6dd6f1431c631921f608",
        "6d6573736167652030",
    ),
    (
        "R of small order",
        False,
        "f96c1be97e091ab8bf736f27bfe9f7aec0923a0f58f21010db136f764458ae1a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
        "43eff300c74b06e9c6a0c1d38635ce7e0af65706e61765e143e6c107072de602",
        "6d6573736167652031",
    ),
    (
        "A of small order",
        False,
        "0000000000000000000000000000000000000000000000000000000000000080",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "78377b525757b494427f89014f97d79928f3938d14eb51e20fb5dec9834eb304",
        "6d6573736167652032",
    ),
    (
        "A of small order",
        False,
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "78377b525757b494427f89014f97d79928f3938d14eb51e20fb5dec9834eb304",
        "6d6573736167652036",
    ),
    (
        "A with torsion that cancels",
        True,
        "dc8110d57fdefae7747512cfd17199b4f4d5b5e5c8300a5be0eb5f61c99a8a4a",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "8458ca31a6e7c6c2e6f22de97890ca6bb6e542e14c915926e2a6298c35abc100",
        "6d6573736167652033",
    ),
    (
        "cofactorless: A with torsion",
        False,
        "dc8110d57fdefae7747512cfd17199b4f4d5b5e5c8300a5be0eb5f61c99a8a4a",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "ca60c75d1be06de78470b4864629ce6fd193c89d0720a62c5500ce99aa60250f",
        "6d6573736167652030",
    ),
    (
        "cofactorless: R with torsion",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "df56dd52e40a11380d0806d6c5069d221719bde7a3734d91e232a70c60fabce7"
        "fffecea45087304611eab33187322fe4babdf9e72a3fbd140f3c273d9ecb4a09",
        "6d6573736167652030",
    ),
    (
        "R of small order",
        False,
        "f96c1be97e091ab8bf736f27bfe9f7aec0923a0f58f21010db136f764458ae1a",
        "0000000000000000000000000000000000000000000000000000000000000080"
        "0706cc7ff3752c733e92dfff2446bbc573a48f2917f90a551b4a0f65eb065906",
        "6d6573736167652036",
    ),
    (
        "R of small order",
        False,
        "f96c1be97e091ab8bf736f27bfe9f7aec0923a0f58f21010db136f764458ae1a",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
        "60bcdd1f40ec66d62c5c31b003e299b34801bbca825325f288f70fab5f67a301",
        "6d6573736167652036",
    ),
    (
        "A of small order",
        False,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "78377b525757b494427f89014f97d79928f3938d14eb51e20fb5dec9834eb304",
        "6d657373616765203139",
    ),
    (
        "A with torsion that cancels",
        True,
        "86c2eff5753db1407c867543826b2378bff00e9d31b19aeed269ee70e4e7f689",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "b1ef520ef0feb24fcee6bb74be4a0d192c11593efa9e2e63950a980cf021fa0b",
        "6d6573736167652039",
    ),
    (
        "cofactorless: A with torsion",
        False,
        "86c2eff5753db1407c867543826b2378bff00e9d31b19aeed269ee70e4e7f689",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "9e61aa1729c9e17e9698bbf95eb7f417e7dfa4be3af84d6e15a4cfd0b57ae104",
        "6d6573736167652030",
    ),
    (
        "cofactorless: R with torsion",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "439b92686310798bb3181bb597012457de123e89c159d3e01aa4fd11dca5911a"
        "3244b10b989f3635d3d1d9b17781dc937a9255b6bdca279302dfa6c5eaa4d30e",
        "6d6573736167652030",
    ),
    (
        "R of small order",
        False,
        "f96c1be97e091ab8bf736f27bfe9f7aec0923a0f58f21010db136f764458ae1a",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
        "13ce4e6f5c40fed7fc3c3077638c1202b83974127422a01cf4056bf171bf370b",
        "6d657373616765203130",
    ),
    (
        "A of small order",
        False,
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "78377b525757b494427f89014f97d79928f3938d14eb51e20fb5dec9834eb304",
        "6d6573736167652032",
    ),
    (
        "A of small order",
        False,
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "78377b525757b494427f89014f97d79928f3938d14eb51e20fb5dec9834eb304",
        "6d657373616765203131",
    ),
    (
        "A with torsion that cancels",
        True,
        "2be59736ab943cec4611865671f07f249a00abd02361ac3cf5ff96875a4c199d",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "a7733b3e2c1b7f3015ebd278d23af849cd407f7f1342238800e012907ed7ef0e",
        "6d6573736167652030",
    ),
    (
        "cofactorless: A with torsion",
        False,
        "2be59736ab943cec4611865671f07f249a00abd02361ac3cf5ff96875a4c199d",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "6604a076dc6822b8ddd82ba2ca937f8f48fa9537d3457c5fa481c6a6e036e709",
        "6d6573736167652031",
    ),
    (
        "cofactorless: R with torsion",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "51fa44a76fec1dc95cb4b5010916a3040ee21cd9257367d7df637b0360bb28ae"
        "9dd1d26ba9470e282f842560d5e5daaf81e1c056f1b65bf5b8d1bb68e235d801",
        "6d6573736167652030",
    ),
    (
        "R of small order",
        False,
        "f96c1be97e091ab8bf736f27bfe9f7aec0923a0f58f21010db136f764458ae1a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"
        "ea77c0ad0dbc3068d28e390a25628600785383c55f4f68aaefae527a5cf8dc08",
        "6d6573736167652031",
    ),
    (
        "R of small order",
        False,
        "f96c1be97e091ab8bf736f27bfe9f7aec0923a0f58f21010db136f764458ae1a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
        "8d737843c56f8f296fcf0ab18cdd60bd83a5009fdcd27ad46bc4bda3f1e41305",
        "6d657373616765203237",
    ),
    (
        "A of small order",
        False,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "78377b525757b494427f89014f97d79928f3938d14eb51e20fb5dec9834eb304",
        "6d657373616765203131",
    ),
    (
        "A with torsion that cancels",
        True,
        "f492e41681f6e547408c90d8401608513f6dc5f0a70defef24ec9089bba751e5",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "317eed84eb269e9ec56f5c4b60de538a91c2ecc68471c6b72544f6bf80cfd609",
        "6d657373616765203135",
    ),
    (
        "cofactorless: A with torsion",
        False,
        "f492e41681f6e547408c90d8401608513f6dc5f0a70defef24ec9089bba751e5",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "4259bc4a06931d3bb35fc0fb17da8138939d237bf943b58fd3322cfb50da5100",
        "6d6573736167652030",
    ),
    (
        "cofactorless: R with torsion",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "fe7b95f2ee442d17bb6472baa38d6386296581a779f5d5daafd0610f5796ec66"
        "eb4f28c77369f94dce4b77b8cc5c989d9d8e3f2960f7d52ad703373317d5de0e",
        "6d6573736167652030",
    ),
    (
        "R of small order",
        False,
        "f96c1be97e091ab8bf736f27bfe9f7aec0923a0f58f21010db136f764458ae1a",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"
        "045e1e606beb036038df05c502b2b5fac2c821f8a5246a0d82ef15a73bc05f0e",
        "6d6573736167652039",
    ),
    (
        "A of small order",
        False,
        "0000000000000000000000000000000000000000000000000000000000000000",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "78377b525757b494427f89014f97d79928f3938d14eb51e20fb5dec9834eb304",
        "6d6573736167652035",
    ),
    (
        "A of small order",
        False,
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "78377b525757b494427f89014f97d79928f3938d14eb51e20fb5dec9834eb304",
        "6d6573736167652030",
    ),
    (
        "A with torsion that cancels",
        True,
        "117eef2a802105188b8aed302e8e664b0b2a4a1a37cff5a41f14a09e366575b5",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "4d42fd04210b6c0b75b63117cdbce6449030ba012e57a0722a7aced491544406",
        "6d6573736167652034",
    ),
    (
        "cofactorless: A with torsion",
        False,
        "117eef2a802105188b8aed302e8e664b0b2a4a1a37cff5a41f14a09e366575b5",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "b8c35d93b43e9dfa76edcf4cfd54faa1b3815f7f36620ce29d2500bd1414c902",
        "6d6573736167652030",
    ),
    (
        "cofactorless: R with torsion",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "0ea922ad1bf5eec7f2f7f9293af962dde8e642185c8cb26e1dcd58f39f054318"
        "f41a5931de2dbe600f92b764a37868c9fe8ea0ff4f6f4394ddf891c0a364900c",
        "6d6573736167652030",
    ),
    (
        "R of small order",
        False,
        "f96c1be97e091ab8bf736f27bfe9f7aec0923a0f58f21010db136f764458ae1a",
        "0000000000000000000000000000000000000000000000000000000000000000"
        "443ea293118a992ef5c252617a5fd8ba2acb722778de628a99ec8b314e48e005",
        "6d6573736167652036",
    ),
    (
        "R of small order",
        False,
        "f96c1be97e091ab8bf736f27bfe9f7aec0923a0f58f21010db136f764458ae1a",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"
        "1bf4e4132ae473a93a80cda0a7f3ad4374c1ebd15e4019f1fdb8547670379504",
        "6d6573736167652034",
    ),
    (
        "A of small order",
        False,
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "78377b525757b494427f89014f97d79928f3938d14eb51e20fb5dec9834eb304",
        "6d6573736167652037",
    ),
    (
        "A with torsion that cancels",
        True,
        "673d100a8ac24ebf83798abc7d94dc87400ff162ce4e65112d96118f1b180976",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "b7297b6fa05db9f61ed9f162c11c008def97f3c6c01a7743b8c0aed623c3d309",
        "6d6573736167652033",
    ),
    (
        "cofactorless: A with torsion",
        False,
        "673d100a8ac24ebf83798abc7d94dc87400ff162ce4e65112d96118f1b180976",
        "9c05bb589013e236a34b4afef6e95cfbf11de326da8c9828209c84fc9f44d751"
        "0a244031a83a5b14be285214d13a2b6bfef94fdc3cafa10565ca39f1979e6b09",
        "6d6573736167652030",
    ),
    (
        "cofactorless: R with torsion",
        False,
        "c21a68c9546bc313b9ee79a98e0f80db65ff542fdc9e53c30a006978a5b3e662",
        "aa646d979cef86744ce7e44a68fedba821edc1763ea62c1fe55b02ee235a6ee5"
        "770ae10e02096b39e980f8de76bdb41634163c87dbc9cd6adb41c1cd5bbd620f",
        "6d6573736167652030",
    ),
    (
        "R of small order",
        False,
        "f96c1be97e091ab8bf736f27bfe9f7aec0923a0f58f21010db136f764458ae1a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"
        "c22813e123ea00d38c7ea11a80d2f4a84cb460044b5ff23f5dd3bd3f29cb6b08",
        "6d6573736167652037",
    ),
)
