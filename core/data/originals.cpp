#include "data/originals.h"

namespace cdsp {

const std::vector<OriginalTask>& original_tasks() {
  static const std::vector<OriginalTask> tasks = {
      {"mnist",
       "MNIST: Y. LeCun, C. Cortes, C. J. C. Burges",
       {"https://ossci-datasets.s3.amazonaws.com/mnist",
        "https://storage.googleapis.com/cvdf-datasets/mnist"},
       {{{"train-images-idx3-ubyte.gz", 60000, "f68b3c2dcbeaaa9fbdd348bbdeb94873", "",
          "6bbc9ace898e44ae57da46a324031adb"},
         {"train-labels-idx1-ubyte.gz", 60000, "d53e105ee54ea40749a09fcbcd1e9432",
          "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
          "a25bea736e30d166cdddb491f175f624"},
         {"t10k-images-idx3-ubyte.gz", 10000, "9fb629c4189551a2d022fa330f9573f3",
          "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
          "2646ac647ad5339dbf082846283269ea"},
         {"t10k-labels-idx1-ubyte.gz", 10000, "ec29112dd5afa0611ce80d1b7f02629c",
          "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
          "27ae3e4e09519cfbb04c329615203637"}}}},
      {"kmnist",
       "KMNIST: ROIS-DS Center for Open Data in the Humanities; CC BY-SA 4.0",
       {"http://codh.rois.ac.jp/kmnist/dataset/kmnist",
        "https://codh.rois.ac.jp/kmnist/dataset/kmnist"},
       {{{"train-images-idx3-ubyte.gz", 60000, "bdb82020997e1d708af4cf47b453dcf7", "", ""},
         {"train-labels-idx1-ubyte.gz", 60000, "e144d726b3acfaa3e44228e80efcd344", "", ""},
         {"t10k-images-idx3-ubyte.gz", 10000, "5c965bf0a639b31b8f53240b1b52f4d7",
          "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
          "bf305b8cd328700fbc17f5acbc2856d2"},
         {"t10k-labels-idx1-ubyte.gz", 10000, "7320c461ea6c1c855c0b718fb2a4b134",
          "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
          "9f55f451c0988b028eccdf7d5cc265ab"}}}},
      {"fashion-mnist",
       "Fashion-MNIST: Zalando SE; MIT licence",
       {"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion"},
       {{{"train-images-idx3-ubyte.gz", 60000, "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "",
          "f4a8712d7a061bf5bd6d2ca38dc4d50a"},
         {"train-labels-idx1-ubyte.gz", 60000, "25c81989df183df01b3e8a0aad5dffbe",
          "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
          "9018921c3c673c538a1fc5bad174d6f9"},
         {"t10k-images-idx3-ubyte.gz", 10000, "bef4ecab320f06d8554ea6380940ec79", "",
          "8181f5470baa50b63fa0f6fddb340f0a"},
         {"t10k-labels-idx1-ubyte.gz", 10000, "bb300cfdad3c16e7a12a480ee83cd310",
          "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
          "15d484375f8d13e6eb1aabb0c3f46965"}}}},
  };
  return tasks;
}

const OriginalTask* find_original_task(const std::string& name) {
  for (const OriginalTask& task : original_tasks()) {
    if (name == task.name) return &task;
  }
  return nullptr;
}

}  // namespace cdsp
